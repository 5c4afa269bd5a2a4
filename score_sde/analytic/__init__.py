"""Ground truth: distributions whose density, score, posterior and samples are exact under every SDE."""

from score_sde.analytic.full_mixture import FullMixture
from score_sde.analytic.gaussian import Gaussian
from score_sde.analytic.given import Given
from score_sde.analytic.mixture import GaussianMixture
from score_sde.analytic.toys import checkerboard, moons, swiss_roll

__all__ = ["FullMixture", "Gaussian", "GaussianMixture", "Given", "checkerboard", "moons", "swiss_roll"]
