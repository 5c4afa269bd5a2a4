"""A model whose likelihood is known, and a few data for it."""

import jax
import numpy as np

import score_sde as ss
from score_sde.data import ArraySource, DataScaling

SCALING = DataScaling(levels=5, dequantize=True)
SDE = ss.VP()
TRUTH = ss.analytic.GaussianMixture([[-0.5, 0.3], [0.4, -0.2]], [0.3, 0.2])
MODEL = TRUTH.denoiser(SDE)
SOURCE = ArraySource("pairs", np.random.default_rng(0).integers(0, 5, size=(13, 2)).astype(np.uint8), levels=5)
KEY = jax.random.key(3)
