"""The grids of the papers, from ``t_max_sampling`` to ``t_min_sampling``."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from score_sde.checks import require
from score_sde.samplers.grids.precision import in_double
from score_sde.sde import SDE


def uniform(sde: SDE, steps: int) -> Float[Array | np.ndarray, "points"]:
    """Uniform in t (Song et al. 2021)."""
    return in_double(_power, (sde,), (steps, 1.0))


def quadratic(sde: SDE, steps: int) -> Float[Array | np.ndarray, "points"]:
    """Uniform in √t (Song, Meng & Ermon 2021, appendix D.2)."""
    return in_double(_power, (sde,), (steps, 2.0))


def native(sde: SDE, steps: int) -> Float[Array | np.ndarray, "points"]:
    """Uniform in t^(1/ρ) with the ρ of the SDE's own paper, ``sde.time_power``: 7 for EDM, 1 for the others."""
    return in_double(_power, (sde,), (steps, float(sde.time_power)))


def karras(sde: SDE, steps: int, rho: float = 7.0) -> Float[Array | np.ndarray, "points"]:
    """Uniform in (σ/α)^(1/ρ) (Karras et al. 2022, eq. 5)."""
    return in_double(_karras, (sde,), (steps, float(rho)))


def log_snr(sde: SDE, steps: int) -> Float[Array | np.ndarray, "points"]:
    """Uniform in λ = log α²/σ² (Lu et al. 2022): the natural grid of the exponential solvers."""
    return in_double(_log_snr, (sde,), (steps,))


def angle(sde: SDE, steps: int) -> Float[Array | np.ndarray, "points"]:
    """Uniform in arctan(σ/α), from ``t_max_sampling`` to t_min: the grid of flow maps. Two steps meet near σ = α."""
    return in_double(_angle, (sde,), (steps,))


def discrete(sde: SDE, steps: int) -> Float[np.ndarray, "points"]:
    """The times of ``steps + 1`` evenly spaced levels of the DDPM (VP) or SMLD (VE) chain, from the last to the first.

    Level k is at t_min + (t_max − t_min) k/(N − 1), just above k/(N − 1), so rounding never selects k − 1.
    """
    levels: int = sde.num_scales  # type: ignore[attr-defined]
    require(steps < levels, f"steps = {steps}; a chain of num_scales = {levels} levels has {levels - 1} steps")
    k = np.round(np.linspace(levels - 1, 0, steps + 1))
    return sde.t_min_sampling + (sde.t_max_sampling - sde.t_min_sampling) * k / (levels - 1)


def respaced(sde: SDE, steps: int, sections: str | Sequence[int] | None = None) -> Float[np.ndarray, "points"]:
    """The times of the chain's levels that guided-diffusion keeps, from the last to level 0, which a denoising step follows.

    ``sections``: the number kept of each of equal parts of the chain, such as (10, 20, 30); or "ddim50", every k-th level
    with the first k that leaves 50; by default steps + 1 of the whole. They set the number of steps.
    """
    kept = kept_levels(sde.num_scales, (steps + 1,) if sections is None else sections)  # type: ignore[attr-defined]
    return sde.t_min + (sde.t_max - sde.t_min) * kept[::-1] / (sde.num_scales - 1)  # type: ignore[attr-defined]


def kept_levels(levels: int, sections: str | Sequence[int]) -> Int[np.ndarray, "kept"]:
    """Ascending (Nichol & Dhariwal 2021, section 4; "ddim": Song, Meng & Ermon 2021)."""
    if isinstance(sections, str):
        wanted = int(sections.removeprefix("ddim"))
        for stride in range(1, levels):
            if len(range(0, levels, stride)) == wanted:
                return np.arange(0, levels, stride)
        raise ValueError(f"sections = {sections!r}: no stride leaves {wanted} of {levels} levels; give numbers instead")
    size, rest = divmod(levels, len(sections))
    kept, first = [], 0
    for i, count in enumerate(sections):
        here = size + (i < rest)
        require(1 <= count <= here, f"sections = {tuple(sections)}: {count} of {here} levels; allowed: 1 to {here}")
        apart = (here - 1) / (count - 1) if count > 1 else 1.0
        kept += [first + round(apart * j) for j in range(count)]
        first += here
    return np.array(kept)


def published(sde: SDE, steps: int) -> Float[np.ndarray, "steps 2"]:
    """The scheme of the original score_sde code, as pairs (t, s): N steps from N evenly spaced times, t_max down to
    t_min, each of length t_max/N regardless of the spacing.

    The last step ends near 0; ``final="mean"`` omits its noise. Only for ``predictor_corrector``.
    """
    t = np.linspace(sde.t_max_sampling, sde.t_min_sampling, steps)
    return np.stack([t, t - sde.t_max / steps], axis=1)


def given(sde: SDE, steps: int, times: Sequence[float] = ()) -> Float[np.ndarray, "points"]:
    """These times, for instance those that ``optimised`` found: how a config holds a grid."""
    require(
        len(times) == steps + 1, f"times has {len(times)} entries; allowed: steps + 1 = {steps + 1} decreasing times"
    )
    return np.asarray(times, float)


def _power(sde: SDE, steps: int, rho: float) -> Array:
    """t_i = (t_max^(1/ρ) + i/N (t_min^(1/ρ) − t_max^(1/ρ)))^ρ."""
    return jnp.linspace(sde.t_max_sampling ** (1 / rho), sde.t_min_sampling ** (1 / rho), steps + 1) ** rho


def _karras(sde: SDE, steps: int, rho: float) -> Array:
    ends = jnp.exp(-sde.log_snr(_ends(sde)) / (2 * rho))  # (σ/α)^(1/ρ)
    return _between(sde, -2 * rho * jnp.log(jnp.linspace(ends[0], ends[1], steps + 1)))


def _log_snr(sde: SDE, steps: int) -> Array:
    first, last = sde.log_snr(_ends(sde))
    return _between(sde, jnp.linspace(first, last, steps + 1))


def _angle(sde: SDE, steps: int) -> Array:
    ends = jnp.asarray([sde.t_max_sampling, sde.t_min])
    first, last = jnp.arctan(jnp.exp(-sde.log_snr(ends) / 2))
    between = jnp.linspace(first, last, steps + 1)
    return sde.time_of_log_snr(-2 * jnp.log(jnp.tan(between))).at[0].set(ends[0]).at[-1].set(ends[1])


def _ends(sde: SDE) -> Array:
    return jnp.asarray([sde.t_max_sampling, sde.t_min_sampling])


def _between(sde: SDE, log_snr: Array) -> Array:
    """The times of these log-SNRs, with the two end points exactly those of the SDE."""
    first, last = _ends(sde)
    return sde.time_of_log_snr(log_snr).at[0].set(first).at[-1].set(last)
