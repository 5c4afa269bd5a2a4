"""Precision, recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020), by balls around samples.

The ball of a sample reaches to its k-th nearest neighbour among its own kind.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from score_sde.evaluation.metrics.distances import blocks, radii


class PRDC(NamedTuple):
    """Each is 1 for a perfect model and many samples, up to the noise of the balls."""

    precision: float
    """The share of generated samples inside a ball of a real one."""
    recall: float
    """The share of real samples inside a ball of a generated one."""
    density: float
    """The number of real balls around a generated sample, divided by k; not bounded by 1."""
    coverage: float
    """The share of real balls with a generated sample inside."""


def prdc(real: Float[np.ndarray, "n _d"], generated: Float[np.ndarray, "m _d"], k: int = 5) -> PRDC:
    """All four with the same k: 3 is usual for precision and recall, 5 for density and coverage."""
    real_radius, generated_radius = radii(real, k), radii(generated, k)
    inside_real = np.zeros(len(generated), int)
    recalled, covered = np.zeros(len(real), bool), np.zeros(len(real), bool)
    for rows, gap in blocks(real, generated):
        distance = np.sqrt(gap)
        inside = distance <= real_radius[rows, None]
        inside_real += inside.sum(axis=0)
        covered[rows] = inside.any(axis=1)
        recalled[rows] = (distance <= generated_radius).any(axis=1)
    return PRDC(
        precision=float(np.mean(inside_real > 0)),
        recall=float(recalled.mean()),
        density=float(inside_real.mean() / k),
        coverage=float(covered.mean()),
    )
