"""Annealed Langevin dynamics (Song & Ermon 2019), and NCSNv2's choice of its settings (Song & Ermon 2020).

At each of the noise levels σ_1 > ... > σ_N, T Langevin steps of size ε_i = 2 (snr σ_i)²; at last x̂ = x + σ_N² score.
Settings follow from the data, here of D numbers each::

    sigmas = noise_levels(largest_distance(images), 0.01, D)
    sde = ss.VE(sigmas[-1], sigmas[0], num_scales=len(sigmas))
    out = ss.samplers.annealed_langevin(model, key, n, shape, steps=5, snr=best_snr(sigmas, 5))
"""

import math
from typing import Unpack

import numpy as np
from jaxtyping import Array, Float, Key
from scipy.optimize import brentq, minimize_scalar
from scipy.special import ndtr

from score_sde.checks import require
from score_sde.denoiser import Denoiser
from score_sde.samplers import grids
from score_sde.samplers.correctors import AnnealedLangevin
from score_sde.samplers.options import Options
from score_sde.samplers.predictor_corrector import predictor_corrector
from score_sde.samplers.samples import Samples


def annealed_langevin(
    model: Denoiser,
    key: Key[Array, ""],
    n: int,
    shape: tuple[int, ...],
    *,
    levels: int | None = None,
    steps: int = 5,
    snr: float = 0.176,
    **options: Unpack[Options],
) -> Samples:
    """Draw n samples by ``steps`` Langevin steps at each of ``levels`` times; by default the levels of the SDE's chain.

    ``snr`` = √(ε/2)/σ_N for the papers' ε: 0.176 and 5 steps for NCSNv2 on CIFAR-10, 0.316 and 100 steps for NCSN. For a
    Gaussian of variance V at a level, T → ∞ steps of size ε give the variance V/(1 − ε/(2V)); more steps do not remove
    this bias, smaller ones do.
    """
    count = getattr(model.sde, "num_scales", 0) if levels is None else levels
    require(
        count > 0, f"levels = {levels}, and {type(model.sde).__name__} has no chain of noise levels; give their number"
    )
    corrector = AnnealedLangevin(snr, steps)
    options = {"time_grid": grids.published, **options}
    return predictor_corrector(model, key, n, shape, steps=count, predictor=None, corrector=corrector, **options)


def largest_distance(examples: Float[np.ndarray, "n *shape"], block: int = 1024) -> float:
    """max ‖x_i − x_j‖ over all pairs: technique 1 for σ_1, so that every example can be reached from any other."""
    flat = np.asarray(examples, np.float64).reshape(len(examples), -1)
    flat = flat - flat.mean(axis=0)
    norms = np.sum(flat**2, axis=1)
    largest = 0.0
    for i in range(0, len(flat), block):
        rows = slice(i, i + block)
        squared = norms[rows, None] + norms[None, i:] - 2 * flat[rows] @ flat[i:].T
        largest = max(largest, float(squared.max()))
    return math.sqrt(max(largest, 0.0))


def noise_levels(largest: float, smallest: float, dimension: int, overlap: float = 0.5) -> Float[np.ndarray, "levels"]:
    """σ_1 = largest > ... > σ_N = smallest, geometric, with the ratio γ of technique 2:

    Φ(√(2D)(γ − 1) + 3γ) − Φ(√(2D)(γ − 1) − 3γ) = overlap,

    the probability that the norm of noise of one level, N(√D σ, σ²/2) for large D, lies within three deviations of the
    norm at the level above. The paper asks for about 0.5; its own 232, 500 and 1086 levels have 0.567.
    """
    require(0 < overlap < 0.99, f"overlap = {overlap}; allowed: above 0 and below 0.99, such as 0.5")
    require(0 < smallest < largest, f"largest = {largest}, smallest = {smallest}; allowed: 0 < smallest < largest")
    require(dimension >= 1, f"dimension = {dimension}; allowed: 1 or more")

    def gap(ratio: float) -> float:
        shift = math.sqrt(2 * dimension) * (ratio - 1)
        return float(ndtr(shift + 3 * ratio) - ndtr(shift - 3 * ratio)) - overlap

    ratio = 2.0 if gap(2.0) > 0 else brentq(gap, 1.0, 2.0)  # in few dimensions any two levels overlap
    count = 1 + max(1, round(math.log(largest / smallest) / math.log(ratio)))
    return np.geomspace(largest, smallest, count)


def variance_ratio(snr: float, ratio: float, steps: int) -> float:
    """Technique 4: the variance after T steps of ε = 2 (snr σ)² at level σ, over σ², from samples of level γσ:

    (1 − e)^{2T} (γ² − 2e/(1 − (1 − e)²)) + 2e/(1 − (1 − e)²)  with e = ε/σ² = 2 snr².
    """
    e = 2 * snr**2
    stationary = 2 * e / (1 - (1 - e) ** 2)
    return (1 - e) ** (2 * steps) * (ratio**2 - stationary) + stationary


def best_snr(sigmas: Float[np.ndarray, "levels"], steps: int) -> float:
    """The snr at which ``variance_ratio`` is nearest to 1 for these levels and this number of steps (technique 4)."""
    require(len(sigmas) >= 2, "one noise level has no neighbour; give two or more")
    ratio = float(sigmas[0] / sigmas[-1]) ** (1 / (len(sigmas) - 1))
    found = minimize_scalar(
        lambda snr: abs(math.log(variance_ratio(snr, ratio, steps))),
        bounds=(1e-4, 0.7),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(found.x)
