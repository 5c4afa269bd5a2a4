"""Images as a condition by concatenation: further channels of the network's input.

    network([x, c_1, c_2, ...])        c_i the leaves of the condition by their names, enlarged to the size of x

It is how a low resolution (SR3, Saharia et al. 2021; ADM's upsamplers), the rest of a picture with its mask, or a depth map
is told. Leaves of a lower resolution are enlarged bilinearly, with the centres of pixels at half-integers.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Key

from score_sde.checks import require


class Concatenation(nnx.Module):
    """``leaves``: the names of leaves and the number of channels of each. The network has that many more input channels;
    it does not see these leaves otherwise.
    """

    def __init__(
        self,
        image_size: int | Sequence[int],
        channels: int = 3,
        *,
        network: Callable[..., Any],
        leaves: Mapping[str, int],
        out_channels: int | None = None,
        num_classes: int | None = None,
        text_vocabulary: int | None = None,
        text_features: int | None = None,
        text_length: int | None = None,
        rngs: nnx.Rngs,
    ):
        require(
            len(leaves) > 0 and all(count >= 1 for count in leaves.values()),
            f'leaves = {dict(leaves)}; give the channels of each leaf, 1 or more, such as {{"low_resolution": 3}}',
        )
        texts = {"text_vocabulary": text_vocabulary, "text_features": text_features, "text_length": text_length}
        self.network = network(
            image_size=image_size,
            channels=channels + sum(leaves.values()),
            out_channels=channels if out_channels is None else out_channels,
            num_classes=num_classes,
            rngs=rngs,
            **{name: value for name, value in texts.items() if value is not None},
        )
        self.leaves = tuple(leaves.items())
        self.channels = channels

    def __call__(
        self,
        x: Float[Array, "batch h w channels"],
        noise_level: Float[Array, "batch *levels"],
        condition: Mapping[str, Array] | None = None,
        *,
        dropout_keys: Key[Array, "batch"] | None = None,
    ) -> Float[Array, "batch h w out_channels"]:
        require(
            x.shape[-1] == self.channels,
            f"x has shape {x.shape}; this network takes {self.channels} channels, the last",
        )
        given = condition or {}
        images = [enlarged(_checked(name, given.get(name), count, x), x.shape[1:-1]) for name, count in self.leaves]
        own = {name for name, _ in self.leaves}
        rest = {name: leaf for name, leaf in given.items() if name not in own}
        h = jnp.concatenate([x, *(image.astype(x.dtype) for image in images)], axis=-1)
        return self.network(h, noise_level, rest or None, dropout_keys=dropout_keys)


def _checked(name: str, leaf: Array | None, channels: int, x: Array) -> Array:
    if leaf is None:
        raise ValueError(f"this network is told condition[{name!r}], an image with {channels} channels; it is absent")
    fits = jnp.ndim(leaf) == x.ndim and jnp.shape(leaf)[0] == x.shape[0] and jnp.shape(leaf)[-1] == channels
    require(
        fits and all(size % low == 0 for size, low in zip(x.shape[1:-1], jnp.shape(leaf)[1:-1], strict=True)),
        f"condition[{name!r}] has shape {jnp.shape(leaf)} beside x of shape {x.shape}; needed: one image for each, of its "
        f"size or a whole fraction of it, with {channels} channels",
    )
    return jnp.asarray(leaf)


def enlarged(image: Float[Array, "batch h w c"], sizes: Sequence[int]) -> Float[Array, "batch height width c"]:
    """Bilinear interpolation; the border is constant beyond the outermost centres."""
    shape = (image.shape[0], *sizes, image.shape[-1])
    return image if image.shape == shape else jax.image.resize(image, shape, "bilinear")
