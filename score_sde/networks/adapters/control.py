"""ControlNet (Zhang et al. 2023): a trained copy of the encoder sees an image, and is added to what the decoder sees.

    h_0 = conv_in(x) + E(c)            of the copy, c the control image, E a few convolutions of which the last is zero
    skip_i ← skip_i + s Z_i(copy_i)    Z_i a 1x1 convolution that is zero at first, s the weight of each example

So the network is at first the base, to the last bit.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array

from score_sde.checks import require
from score_sde.networks.adapters.adapted import Adapter, Condition, check_base, leaf_of, weight_of, zero
from score_sde.networks.blocks import Seeds
from score_sde.networks.conv import Conv
from score_sde.networks.cross_attention import Context
from score_sde.networks.ncsnpp import NCSNpp


class ControlNet(Adapter):
    """``condition[leaf]``: an image (batch, *spatial, ``control_channels``) of the size of x; ``condition[leaf_scale]``,
    such as "control_scale": s, 1 unless given. The copy has dropout where the base has.
    """

    def __init__(self, base: NCSNpp, *, control_channels: int, leaf: str = "control", rngs: nnx.Rngs):
        check_base(base)
        require(control_channels >= 1, f"control_channels = {control_channels}; allowed: 1 or more")
        self.encoder = nnx.clone(base)
        for part in ("up", "head"):
            delattr(self.encoder, part)
        options: dict[str, Any] = {"spatial_dims": base.spatial_dims, "dtype": base.dtype, "rngs": rngs}
        first = base.conv_in.kernel.shape[-1]
        self.hint = nnx.List([Conv(control_channels, first, **options), Conv(first, first, **options)])
        self.hint_out = zero(Conv(first, first, **options))
        self.out = nnx.List(zero(Conv(width, width, 1, **options)) for width in base.kept)
        self.out_middle = zero(Conv(base.kept[-1], base.kept[-1], 1, **options))
        self.leaf = leaf
        self.control_channels = control_channels
        self.dtype = base.dtype

    def add(
        self,
        x: Array,
        noise_level: Array,
        condition: Condition,
        seeds: Seeds,
        h: Array,
        kept: list[Array],
        seen: Array | None = None,
    ) -> tuple[Array, list[Array]]:
        """``seen``: tokens that the copy's cross-attentions see in the place of the text's."""
        image = leaf_of(condition, self.leaf, f"an image with {self.control_channels} channels")
        needed = (*x.shape[:-1], self.control_channels)
        require(
            jnp.shape(image) == needed,
            f"condition[{self.leaf!r}] has shape {jnp.shape(image)} beside x of shape {x.shape}; needed: {needed}",
        )
        hint = image.astype(self.dtype)
        for layer in self.hint:
            hint = jax.nn.silu(layer(hint))
        embedding, context = self.encoder.told(noise_level, condition)
        context = context if seen is None else Context(seen, jnp.ones(seen.shape[:2], bool))
        middle, copies = self.encoder.encode(x, embedding, seeds, context, hint=self.hint_out(hint))
        weight = weight_of(condition, f"{self.leaf}_scale", len(x)).reshape(-1, *(1,) * (x.ndim - 1)).astype(h.dtype)
        kept = [one + weight * out(copy) for one, out, copy in zip(kept, self.out, copies, strict=True)]
        return h + weight * self.out_middle(middle), kept
