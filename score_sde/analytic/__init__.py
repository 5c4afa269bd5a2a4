"""Ground truth: distributions whose density, score, posterior and samples are exact under every SDE."""

from score_sde.analytic.gaussian import Gaussian
from score_sde.analytic.mixture import GaussianMixture
from score_sde.analytic.toys import checkerboard, moons, swiss_roll

__all__ = ["Gaussian", "GaussianMixture", "checkerboard", "moons", "swiss_roll"]
