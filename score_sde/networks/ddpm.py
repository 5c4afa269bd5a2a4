"""The network of DDPM (Ho et al. 2020)."""

from collections.abc import Sequence
from typing import Any, Literal

import jax.numpy as jnp
from flax import nnx
from jax.typing import ArrayLike

from score_sde.networks.ncsnpp import NCSNpp


class DDPM(NCSNpp):
    """The U-Net of NCSN++ with plain residual blocks and separate resampling layers, without filter, pyramids and
    rescaled sums, with a positional embedding and 32 groups in every group normalisation.

    The options are those of ``NCSNpp``.
    """

    def __init__(
        self,
        image_size: int | Sequence[int],
        channels: int = 3,
        *,
        nf: int = 128,
        ch_mult: Sequence[int] | None = None,
        num_res_blocks: int = 2,
        attn_resolutions: Sequence[int] | None = None,
        attention_heads: int = 1,
        attention_implementation: Literal["xla", "cudnn"] | None = None,
        dropout: int | float = 0.1,
        resamp_with_conv: bool = True,
        conditional: bool = True,
        nonlinearity: str = "swish",
        scale_by_sigma: bool = False,
        sigmas: ArrayLike | Sequence[float] | None = None,
        data_in_unit_range: bool = False,
        num_classes: int | None = None,
        norm_groups: int | None = 32,
        second_level: bool = False,
        numbers: Sequence[str] = (),
        text_vocabulary: int | None = None,
        text_features: int | None = None,
        text_length: int = 0,
        text_width: int = 64,
        spatial_dims: int = 2,
        dtype: Any = jnp.float32,
        remat: str = "none",
        rngs: nnx.Rngs,
    ):
        super().__init__(
            image_size,
            channels,
            nf=nf,
            ch_mult=ch_mult,
            num_res_blocks=num_res_blocks,
            attn_resolutions=attn_resolutions,
            attention_heads=attention_heads,
            attention_implementation=attention_implementation,
            dropout=dropout,
            resamp_with_conv=resamp_with_conv,
            conditional=conditional,
            fir=False,
            skip_rescale=False,
            resblock_type="ddpm",
            progressive="none",
            progressive_input="none",
            embedding_type="positional",
            init_scale=0.0,
            nonlinearity=nonlinearity,
            scale_by_sigma=scale_by_sigma,
            sigmas=sigmas,
            data_in_unit_range=data_in_unit_range,
            num_classes=num_classes,
            norm_groups=norm_groups,
            second_level=second_level,
            numbers=numbers,
            text_vocabulary=text_vocabulary,
            text_features=text_features,
            text_length=text_length,
            text_width=text_width,
            spatial_dims=spatial_dims,
            dtype=dtype,
            remat=remat,
            rngs=rngs,
        )
