"""Checks of a network's options and inputs, with their error messages."""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

OPTIONS: dict[str, tuple[str, ...]] = {
    "resblock_type": ("biggan", "ddpm"),
    "progressive": ("none", "output_skip", "residual"),
    "progressive_input": ("none", "input_skip", "residual"),
    "progressive_combine": ("sum", "cat"),
    "embedding_type": ("positional", "fourier", "fourier_raw"),
    "nonlinearity": ("elu", "relu", "lrelu", "swish"),
    "remat": ("none", "blocks", "full"),
    "pool": ("mean", "attention"),
    "normalization": ("instancenorm++", "variancenorm"),
    "resize": ("align_corners", "half_pixel"),
    "variance": ("unbiased", "population"),
    "head_order": ("heads_first", "qkv_first"),
}


def check_options(**given: str) -> None:
    """Raise a ValueError for an option value that does not exist."""
    for name, value in given.items():
        if value not in OPTIONS[name]:
            raise ValueError(f"{name} = {value!r}; allowed: {', '.join(map(repr, OPTIONS[name]))}")


def say_idle(**options: tuple[bool, str]) -> None:
    """Warn of options that have no effect: for each name, whether it has none, and why."""
    for name, (idle, reason) in options.items():
        if idle:
            warnings.warn(f"the network option {name} has no effect {reason}", stacklevel=3)


# The allowed values of each number, as a description and a test; NaN passes none of them.
NUMBERS: dict[str, tuple[str, Callable[[float], bool]]] = {
    **{
        name: ("1 or more", lambda value: value >= 1)
        for name in (
            "nf",
            "num_res_blocks",
            "attention_heads",
            "up_heads",
            "head_channels",
            "channels",
            "out_channels",
            "num_classes",
            "norm_groups",
            "width",
        )
    },
    "depth": ("0 or more", lambda value: value >= 0),
    "dropout": ("0 to below 1", lambda value: 0 <= value < 1),
    "fourier_scale": ("a positive number", lambda value: 0 < value < math.inf),
    "init_scale": ("0 or a positive number", lambda value: 0 <= value < math.inf),
}
DTYPES = ("float32", "bfloat16", "float16", "float64")


def check_numbers(**given: float | None) -> None:
    """Raise a ValueError for a number out of its range; None is not checked."""
    for name, value in given.items():
        words, fits = NUMBERS[name]
        if value is not None and not fits(value):
            raise ValueError(f"{name} = {value}; allowed: {words}")


def check_each(name: str, values: Sequence[int]) -> None:
    """Raise a ValueError unless there is at least one value and all are 1 or more."""
    if len(values) < 1 or any(value < 1 for value in values):
        raise ValueError(f"{name} = {tuple(values)}; allowed: one number for each level, each 1 or more")


def check_taps(taps: Sequence[float]) -> None:
    """Raise a ValueError unless a filter's taps can be divided by their sum."""
    if not taps or not math.isfinite(sum(taps)) or sum(taps) == 0:
        raise ValueError(
            f"fir_kernel = {tuple(taps)}; allowed: one or more numbers whose sum is not 0, such as (1, 3, 3, 1)"
        )


def as_dtype(dtype: Any) -> Any:
    """The floating-point dtype of a computation, from its name or a dtype."""
    try:
        found = jnp.dtype(dtype)
    except TypeError:
        found = None
    if found is None or found.name not in DTYPES:
        raise ValueError(f"dtype = {dtype!r}; allowed: {', '.join(map(repr, DTYPES))}")
    return found


def usual_levels(image_size: int | Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The default (ch_mult, attn_resolutions) of a size, halved as often as possible, down to 8 pixels (4 up to 32).

    The first level and those above 64 pixels have a factor of 1, all others 2; attention is at 16 pixels, or at the
    first resolution below. 32 pixels give the paper's (1, 2, 2, 2) and (16,).
    """
    sizes = (image_size,) if isinstance(image_size, int) else tuple(image_size)
    lowest = 4 if min(sizes) <= 32 else 8
    resolutions = [min(sizes)]
    while all(size % 2 ** len(resolutions) == 0 for size in sizes) and resolutions[-1] > lowest:
        resolutions.append(resolutions[-1] // 2)
    multipliers = tuple(1 if i == 0 or size > 64 else 2 for i, size in enumerate(resolutions))
    return multipliers, tuple(size for size in resolutions[1:] if size <= 16)[:1]


def check_levels(
    image_size: int | Sequence[int], spatial_dims: int, levels: int, attn_resolutions: Sequence[int]
) -> list[int]:
    """The resolution of each level, along the shortest axis; a ValueError if a level cannot be halved."""
    sizes = (image_size,) * spatial_dims if isinstance(image_size, int) else tuple(image_size)
    if len(sizes) != spatial_dims or spatial_dims not in (1, 2, 3):
        raise ValueError(
            f"image_size = {image_size} does not fit spatial_dims = {spatial_dims}; give one number, or one for each "
            "of 1, 2 or 3 spatial axes"
        )
    check_sizes(sizes, levels, "image_size")
    resolutions = [min(sizes) >> i for i in range(levels)]
    never = [r for r in attn_resolutions if r not in resolutions]
    if never:
        raise ValueError(
            f"attn_resolutions = {tuple(attn_resolutions)}: {never[0]} never occurs; the levels of image_size = "
            f"{image_size} with {levels} entries in ch_mult have resolutions {resolutions}"
        )
    return resolutions


def check_sizes(sizes: Sequence[int], levels: int, name: str) -> None:
    """Raise a ValueError unless every size can be halved ``levels − 1`` times."""
    factor = 2 ** (levels - 1)
    if any(size % factor or size < factor for size in sizes):
        raise ValueError(
            f"{name} = {tuple(sizes)} cannot be halved {levels - 1} times, once between each two of the {levels} "
            f"levels in ch_mult; use multiples of {factor} (pad the images), or fewer levels"
        )


def check_input(
    x: Array, noise_level: Array, channels: int, spatial_dims: int, levels: int, second_level: bool = False
) -> None:
    """Raise a ValueError unless x is (batch, *spatial, channels) and there is one noise level per example."""
    if x.ndim != spatial_dims + 2 or x.shape[-1] != channels:
        axes = ", ".join("DHW"[3 - spatial_dims :])
        raise ValueError(f"x has shape {x.shape}; this network takes (batch, {axes}, {channels}), channels last")
    check_sizes(x.shape[1:-1], levels, "the spatial shape of x")
    check_noise_level(x, noise_level, second_level)


def check_noise_level(x: Array, noise_level: Array, second_level: bool = False) -> None:
    """Raise a ValueError unless there is one noise level per example, or two if the network accepts them."""
    shape, batch = jnp.shape(noise_level), x.shape[0]
    if shape == (batch, 2) and not second_level:
        raise ValueError(f"noise_level has shape {shape}, but the network takes one; build it with second_level=True")
    if shape not in ((batch,), (batch, 2)):
        two = f", or two, ({batch}, 2)" if second_level else ""
        raise ValueError(
            f"noise_level has shape {shape} beside x of shape {x.shape}; give one for each example, ({batch},){two}"
        )


def check_no_label(condition: Mapping | None) -> None:
    """Raise a ValueError for a label, in a network without classes."""
    if condition is not None and "label" in condition:
        raise ValueError('condition["label"] was given to a network without classes; build it with num_classes=...')


def labels_of(condition: Mapping | None, num_classes: int, batch: int) -> Array:
    """The class of each example, or ``num_classes`` (no class) without a label."""
    label = None if condition is None else condition.get("label")
    if label is None:
        return jnp.full(batch, num_classes)
    if jnp.shape(label) != (batch,) or not jnp.issubdtype(jnp.result_type(label), jnp.integer):
        raise ValueError(
            f'condition["label"] has shape {jnp.shape(label)} and type {jnp.result_type(label)}; give one integer for '
            f"each example, ({batch},)"
        )
    return jnp.asarray(label)


def check_shape(x: Array, shape: tuple[int, ...]) -> None:
    """Raise a ValueError unless x is (batch, *shape)."""
    if x.shape[1:] != shape:
        raise ValueError(f"x has shape {x.shape}; this network takes (batch, {', '.join(map(str, shape))})")


def flat_size(shape: int | Sequence[int]) -> int:
    """The number of entries of an example."""
    return shape if isinstance(shape, int) else math.prod(shape)
