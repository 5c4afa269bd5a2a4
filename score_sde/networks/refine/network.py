"""NCSN and NCSNv2: RefineNets with dilated convolutions (Song & Ermon 2019, appendix A; 2020, appendix B).

    x ─ conv ─ stage 1 ─────────────────────────────── refine ─ norm, act, conv ─ [/σ] ─ out
                 └─ stage 2 ──────────────── refine ─────┘
                      └─ stage 3 ─ refine ─────┘

A stage has two residual blocks; later stages are dilated instead of halving the resolution further.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypedDict, Unpack

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from score_sde.networks.blocks import ACTIVATIONS
from score_sde.networks.checks import (
    as_dtype,
    check_input,
    check_no_label,
    check_numbers,
    check_options,
    check_sizes,
)
from score_sde.networks.discrete import Table, sigma_of
from score_sde.networks.refine.blocks import Pool, RefineBlock, ResidualBlock, Style
from score_sde.networks.refine.layers import Conv, Resize
from score_sde.networks.refine.normalization import Variance, norm_of


class Stage(NamedTuple):
    """The channels of a stage over nf, whether its first block halves the resolution, and its dilation."""

    width: int
    halves: bool = True
    dilation: int = 1


SMALL = (Stage(1, halves=False), Stage(2), Stage(2, dilation=2), Stage(2, dilation=4))
MIDDLE = (Stage(1, halves=False), Stage(2), Stage(2), Stage(4, dilation=2), Stage(4, dilation=4))
LARGE = (Stage(1, halves=False), Stage(2), Stage(2), Stage(2), Stage(4, dilation=2), Stage(4, dilation=4))


class Options(TypedDict, total=False):
    """What may be chosen of every RefineNet; see ``RefineNet``."""

    nf: int
    nonlinearity: str
    normalization: str
    resize: Resize
    variance: Variance
    dtype: Any


class RefineNet(nnx.Module):
    """See ``ncsn`` and ``ncsnv2_64``, which set ``stages``, ``refine``, ``labelled`` and ``pool``.

    image_size, channels  the images; their size must allow the stages' halvings
    stages                the encoder's; ``refine``: the channels over nf of each refinement, from the lowest resolution
    labelled              tell the noise level as a label, to norms with parameters for each label
    nf                    the channels of the first stage
    normalization         "instancenorm++" or "variancenorm"
    sigmas                the noise levels of the labels; with scale_by_sigma, the output is divided by ``sigmas[label]``,
                          or without a table by the noise level itself
    data_in_unit_range    x is in [0, 1], and the network uses 2x − 1
    resize                of coarser features: "align_corners" as in the PyTorch code, "half_pixel" as in the Flax code
    variance              of the channels' means: "unbiased" as in the PyTorch code, "population" as in the Flax code
    dtype                 the dtype of the computation; parameters and normalisation stay in float32
    """

    def __init__(
        self,
        image_size: int | Sequence[int],
        channels: int = 3,
        *,
        stages: Sequence[Stage],
        refine: Sequence[int],
        labelled: bool = False,
        pool: Pool = "max",
        nf: int = 128,
        nonlinearity: str = "elu",
        normalization: str = "instancenorm++",
        sigmas: ArrayLike | Sequence[float] | None = None,
        scale_by_sigma: bool = True,
        data_in_unit_range: bool = False,
        resize: Resize = "align_corners",
        variance: Variance = "unbiased",
        dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        check_options(nonlinearity=nonlinearity, normalization=normalization, resize=resize, variance=variance)
        check_numbers(nf=nf, channels=channels)
        self.levels = 1 + sum(stage.halves and stage.dilation == 1 for stage in stages)
        sizes = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
        check_sizes(sizes, self.levels, "image_size")
        if labelled and sigmas is None:
            raise ValueError("NCSN is told the label of a noise level; give the table of noise levels, sigmas")
        self.sigmas = None if sigmas is None else Table(jnp.asarray(sigmas, jnp.float32))
        classes = len(self.sigmas[...]) if labelled and self.sigmas is not None else None
        norm = norm_of(normalization, classes=classes, variance=variance, rngs=rngs)
        self.dtype = as_dtype(dtype)
        style = Style(
            activation=ACTIVATIONS[nonlinearity],
            norm=norm,
            refine_norm=norm if labelled else None,
            pool=pool,
            resize=resize,
            options={"dtype": self.dtype, "rngs": rngs},
        )
        widths = [nf * stage.width for stage in stages]
        self.conv_in = Conv(channels, nf, **style.options)
        self.stages: nnx.List[nnx.List[ResidualBlock]] = nnx.List()
        before = nf
        for after, (_, halves, dilation) in zip(widths, stages, strict=True):
            first = ResidualBlock(before, after, style, halves=halves, dilation=dilation)
            self.stages.append(nnx.List([first, ResidualBlock(after, after, style, dilation=dilation)]))
            before = after
        self.refine: nnx.List[RefineBlock] = nnx.List()
        coarser: list[int] = []
        for i, (skip, width) in enumerate(zip(reversed(widths), refine, strict=True)):
            self.refine.append(RefineBlock([skip, *coarser], nf * width, style, last=i == len(refine) - 1))
            coarser = [nf * width]
        self.norm = norm(coarser[0])
        self.conv_out = Conv(coarser[0], channels, **style.options)
        self.activation = style.activation
        self.channels = channels
        self.labelled = labelled
        self.scale_by_sigma = scale_by_sigma
        self.data_in_unit_range = data_in_unit_range

    def __call__(
        self,
        x: Float[Array, "batch *spatial channels"],
        noise_level: Float[Array, "batch"],
        condition: Mapping[str, Array] | None = None,
        *,
        dropout_keys: Key[Array, "batch"] | None = None,
    ) -> Float[Array, "batch *spatial channels"]:
        check_input(x, noise_level, self.channels, 2, self.levels)
        check_no_label(condition)
        labels = noise_level.astype(jnp.int32) if self.labelled else None
        h = self.conv_in((2 * x - 1 if self.data_in_unit_range else x).astype(self.dtype))
        kept = []
        for i, blocks in enumerate(self.stages):
            with jax.named_scope(f"stages.{i}"):
                for block in blocks:
                    h = block(h, labels)
            kept.append(h)
        coarser: list[Array] = []
        for i, refinement in enumerate(self.refine):
            with jax.named_scope(f"refine.{i}"):
                coarser = [refinement([kept.pop(), *coarser], labels)]
        out = self.conv_out(self.activation(self.norm(coarser[0], labels))).astype(x.dtype)
        return out / sigma_of(self.sigmas, noise_level, out) if self.scale_by_sigma else out


def ncsn(
    image_size: int | Sequence[int],
    channels: int = 3,
    *,
    sigmas: ArrayLike | Sequence[float],
    scale_by_sigma: bool = False,
    third_width: int = 1,
    data_in_unit_range: bool = False,
    rngs: nnx.Rngs,
    **options: Unpack[Options],
) -> RefineNet:
    """NCSN: every norm is told the noise level, as a label.

    ``third_width``: the channels of the third refinement over nf, 1 in the PyTorch codes and 2 in the Flax code.
    """
    return RefineNet(
        image_size,
        channels,
        stages=SMALL,
        refine=(2, 2, third_width, 1),
        labelled=True,
        pool="mean",
        sigmas=sigmas,
        scale_by_sigma=scale_by_sigma,
        data_in_unit_range=data_in_unit_range,
        rngs=rngs,
        **options,
    )


def ncsnv2_64(
    image_size: int | Sequence[int],
    channels: int = 3,
    *,
    sigmas: ArrayLike | Sequence[float] | None = None,
    scale_by_sigma: bool = True,
    third_width: int = 1,
    data_in_unit_range: bool = False,
    rngs: nnx.Rngs,
    **options: Unpack[Options],
) -> RefineNet:
    """NCSNv2 for images of 32 to 64 pixels: not told the noise level; score = network(x)/σ.

    ``third_width``: the channels of the third refinement over nf, 1 in the PyTorch codes and 2 in the Flax code.
    """
    given: dict[str, Any] = {
        "sigmas": sigmas,
        "scale_by_sigma": scale_by_sigma,
        "data_in_unit_range": data_in_unit_range,
    }
    return RefineNet(image_size, channels, stages=SMALL, refine=(2, 2, third_width, 1), rngs=rngs, **given, **options)


def ncsnv2_128(
    image_size: int | Sequence[int],
    channels: int = 3,
    *,
    sigmas: ArrayLike | Sequence[float] | None = None,
    scale_by_sigma: bool = True,
    data_in_unit_range: bool = False,
    rngs: nnx.Rngs,
    **options: Unpack[Options],
) -> RefineNet:
    """NCSNv2 for images of 128 pixels."""
    given: dict[str, Any] = {
        "sigmas": sigmas,
        "scale_by_sigma": scale_by_sigma,
        "data_in_unit_range": data_in_unit_range,
    }
    return RefineNet(image_size, channels, stages=MIDDLE, refine=(4, 2, 2, 1, 1), rngs=rngs, **given, **options)


def ncsnv2_256(
    image_size: int | Sequence[int],
    channels: int = 3,
    *,
    sigmas: ArrayLike | Sequence[float] | None = None,
    scale_by_sigma: bool = True,
    data_in_unit_range: bool = False,
    rngs: nnx.Rngs,
    **options: Unpack[Options],
) -> RefineNet:
    """NCSNv2 for images of 256 pixels."""
    given: dict[str, Any] = {
        "sigmas": sigmas,
        "scale_by_sigma": scale_by_sigma,
        "data_in_unit_range": data_in_unit_range,
    }
    return RefineNet(image_size, channels, stages=LARGE, refine=(4, 2, 2, 2, 1, 1), rngs=rngs, **given, **options)
