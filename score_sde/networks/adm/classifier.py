"""ADM's classifier of noisy images: the encoder, and attention or a mean over space (Dhariwal & Nichol 2021, section 4)."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Key

from score_sde.networks.adm.blocks import HeadOrder, Style, norm
from score_sde.networks.adm.encoder import Encoder, heads_of
from score_sde.networks.blocks import dropout_seeds
from score_sde.networks.checks import as_dtype, check_input, check_numbers, check_options
from score_sde.networks.embed import Dense
from score_sde.networks.pool import AttentionPool, mean_over_space


class ADMClassifier(nnx.Module):
    """The options are those of ``ADM``; ``pool``: "attention" (for images of ``image_size`` alone) or "mean"."""

    def __init__(
        self,
        image_size: int | Sequence[int],
        channels: int = 3,
        *,
        num_classes: int,
        nf: int = 128,
        ch_mult: Sequence[int] = (1, 1, 2, 2, 4, 4),
        num_res_blocks: int = 2,
        attn_resolutions: Sequence[int] = (32, 16, 8),
        attention_heads: int = 4,
        head_channels: int | None = 64,
        head_order: HeadOrder = "heads_first",
        scale_shift: bool = True,
        resample_in_blocks: bool = True,
        resamp_with_conv: bool = True,
        dropout: int | float = 0.0,
        pool: str = "attention",
        dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        check_options(head_order=head_order, pool=pool)
        check_numbers(attention_heads=attention_heads, head_channels=head_channels, num_classes=num_classes)
        style = Style(
            told=4 * nf,
            scale_shift=scale_shift,
            resample_in_blocks=resample_in_blocks,
            resample_with_conv=resamp_with_conv,
            head_order=head_order,
            dropout=dropout,
            dtype=as_dtype(dtype),
            rngs=rngs,
        )
        heads = heads_of(attention_heads, head_channels)
        self.encoder = Encoder(
            image_size,
            channels,
            style,
            heads,
            nf=nf,
            ch_mult=ch_mult,
            num_res_blocks=num_res_blocks,
            attn_resolutions=attn_resolutions,
            head_channels=head_channels,
        )
        width = self.encoder.kept[-1]
        self.norm = norm(width)
        sizes = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
        lowest = [size >> (len(ch_mult) - 1) for size in sizes]
        self.pool = AttentionPool(lowest, width, heads=heads(width), **style.options) if pool == "attention" else None
        self.logits = Dense(width, num_classes, init_scale=0.0, **style.options)
        self.channels = channels

    def __call__(
        self,
        x: Float[Array, "batch h w channels"],
        noise_level: Float[Array, "batch"],
        condition: Mapping[str, Array] | None = None,
        *,
        dropout_keys: Key[Array, "batch"] | None = None,
    ) -> Float[Array, "batch classes"]:
        return self.logits(self.features(x, noise_level, condition, dropout_keys=dropout_keys)).astype(x.dtype)

    def features(
        self,
        x: Float[Array, "batch h w channels"],
        noise_level: Float[Array, "batch"],
        condition: Mapping[str, Array] | None = None,
        *,
        dropout_keys: Key[Array, "batch"] | None = None,
    ) -> Float[Array, "batch width"]:
        """The input of the last layer."""
        check_input(x, noise_level, self.channels, 2, len(self.encoder.levels))
        h, _ = self.encoder(x, self.encoder.embed(noise_level), dropout_seeds(dropout_keys))
        h = jax.nn.silu(self.norm(h))
        return mean_over_space(h) if self.pool is None else self.pool(h)
