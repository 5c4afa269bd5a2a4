"""The network of DDPM (Ho et al. 2020)."""

from collections.abc import Sequence
from typing import Any

from score_sde.networks.ncsnpp import NCSNpp


class DDPM(NCSNpp):
    """The same U-Net with plain residual blocks and resampling layers between them, no filter, no pyramids, no
    rescaled sums, a positional embedding, and group normalisation with 32 groups everywhere.

    All further options are those of ``NCSNpp``.
    """

    def __init__(
        self,
        image_size: int | Sequence[int],
        channels: int = 3,
        *,
        num_res_blocks: int = 2,
        norm_groups: int = 32,
        **options: Any,
    ):
        super().__init__(
            image_size,
            channels,
            num_res_blocks=num_res_blocks,
            norm_groups=norm_groups,
            resblock_type="ddpm",
            fir=False,
            skip_rescale=False,
            progressive="none",
            progressive_input="none",
            embedding_type="positional",
            init_scale=0.0,
            **options,
        )
