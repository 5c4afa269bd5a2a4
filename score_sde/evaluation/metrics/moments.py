"""Mean and covariance of features, in float64, from batches in any order (Chan, Golub & LeVeque 1983)."""

import dataclasses

import numpy as np
from jaxtyping import Float

from score_sde.checks import require


@dataclasses.dataclass(frozen=True)
class Moments:
    """n, the mean, and M = Σ (x − mean)(x − mean)ᵀ. Sums of x xᵀ would lose the digits that a large mean takes."""

    n: int
    mean: Float[np.ndarray, "d"]
    scatter: Float[np.ndarray, "d d"]

    @classmethod
    def of(cls, features: Float[np.ndarray, "n d"]) -> "Moments":
        """The moments of one batch."""
        x = np.asarray(features, np.float64)
        mean = x.mean(axis=0)
        return cls(len(x), mean, (x - mean).T @ (x - mean))

    def merged(self, other: "Moments") -> "Moments":
        """The moments of both batches together."""
        n, gap = self.n + other.n, other.mean - self.mean
        return Moments(
            n,
            self.mean + gap * (other.n / n),
            self.scatter + other.scatter + np.outer(gap, gap) * (self.n * other.n / n),
        )

    @property
    def covariance(self) -> Float[np.ndarray, "d d"]:
        """The unbiased estimate M/(n − 1)."""
        require(self.n > 1, f"a covariance needs at least 2 samples, here are {self.n}")
        return self.scatter / (self.n - 1)
