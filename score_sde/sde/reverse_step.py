"""The Gaussian step of a chain against time, q(x_s | x_t, x_0), and the variances a model may have in its place.

With x_t = k x_s + G ε and x_t = α x_0 + σ ε (Ho et al. 2020, eq. 6-7):

    mean = (k σ_s²/σ_t²) x_t + (α_s G²/σ_t²) x_0,   variance = σ_s² G²/σ_t².

A model p(x_s | x_t) has x̂ for x_0, and this variance ("small"), G² ("large"), or one between them that is learned
(Nichol & Dhariwal 2021, eq. 15):

    log variance = w log large + (1 − w) log small,   w = (v + 1)/2,   v a network's output.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array

from score_sde.checks import Sample, per_sample


class ReverseStep(NamedTuple):
    """The step from t to s; all are () or (batch,)."""

    of_x: Array
    """k σ_s²/σ_t², the factor of x_t in the mean."""
    of_x0: Array
    """α_s G²/σ_t², the factor of x_0 or x̂ in the mean."""
    small: Array
    large: Array

    def mean(self, x: Sample, x0: Sample) -> Sample:
        """That of x_s."""
        return per_sample(self.of_x, x) * x + per_sample(self.of_x0, x) * x0

    def log_variance(self, v: Sample) -> Sample:
        """The learned one."""
        w, small = (v + 1) / 2, jnp.maximum(self.small, jnp.finfo(v.dtype).tiny)  # 0 in the step to the data
        return w * per_sample(jnp.log(self.large), v) + (1 - w) * per_sample(jnp.log(small), v)


def learned(outputs: Mapping[str, Sample]) -> Sample:
    """The output v of a model, "variance", among its further outputs."""
    if "variance" not in outputs:
        raise ValueError(
            f"the model has no output 'variance' beside its prediction (it has {sorted(outputs) or 'none'}); give a "
            'denoiser with beside=("variance",) and a network with twice the channels, or choose a fixed variance'
        )
    return outputs["variance"]


def reverse_step(kept: Array, G: Array, alpha_s: Array, sigma_s: Array, sigma_t: Array) -> ReverseStep:
    """From k, G, α_s, σ_s and σ_t; α_s = 1 and σ_s = 0 are the data."""
    share = (G / sigma_t) ** 2
    return ReverseStep(kept * (sigma_s / sigma_t) ** 2, alpha_s * share, sigma_s**2 * share, G**2)
