"""The kinds of prediction, and the posterior mean and noise that follow from them.

Each kind of prediction is a linear combination  p = a(t) x_0 + b(t) ε. Together with the marginal

    α x_0 + σ ε = x_t
    a x_0 + b ε = p

this gives x̂ = (b x_t − σ p)/D and ε̂ = (α p − a x_t)/D with D = αb − σa.
"""

from typing import Literal, TypeAlias, get_args

import jax.numpy as jnp
from jaxtyping import Array

from score_sde.checks import Sample, per_sample, require
from score_sde.sde import SDE

Kind: TypeAlias = Literal["noise", "data", "score", "v", "velocity", "edm"]


def check_kind(predicts: str) -> None:
    """Raise a ValueError unless ``predicts`` is one of the kinds."""
    kinds = get_args(Kind)
    require(predicts in kinds, f"predicts = {predicts!r}; allowed: {', '.join(map(repr, kinds))}")


def coefficients(predicts: Kind, sde: SDE, t: Array, sigma_data: float = 0.5) -> tuple[Array, Array]:
    """(a, b) of p = a x_0 + b ε. "v": Salimans & Ho 2022, section 4; "edm": Karras et al. 2022, eq. 7 and Table 1.

    EDM's x̂ = c_skip x + c_out F(c_in x) has c_skip = α s²/V, c_out = σ s/√V, c_in = 1/√V with V = σ² + α² s² and
    s = sigma_data (for α = 1 exactly the paper's), so its F = (x̂ − c_skip x)/c_out = (σ x_0 − α s² ε)/(s √V).
    """
    alpha, sigma = sde.alpha(t), sde.sigma(t)
    match predicts:
        case "noise":
            return jnp.zeros_like(t), jnp.ones_like(t)
        case "data":
            return jnp.ones_like(t), jnp.zeros_like(t)
        case "score":
            return jnp.zeros_like(t), -1 / sigma
        case "v":
            return -sigma, alpha
        case "velocity":
            return sde.alpha_dot(t), sde.sigma_dot(t)
        case "edm":
            root = deviation(sde, t, sigma_data)
            return sigma / (sigma_data * root), -alpha * sigma_data / root


def deviation(sde: SDE, t: Array, sigma_data: float) -> Array:
    """√V = √(σ² + α² s²): the standard deviation of x_t, if s is the data's."""
    return jnp.sqrt(sde.sigma(t) ** 2 + (sde.alpha(t) * sigma_data) ** 2)


def encode(predicts: Kind, sde: SDE, x0: Sample, noise: Sample, t: Array, sigma_data: float = 0.5) -> Sample:
    """The prediction p = a x_0 + b ε, the target of a network of this kind."""
    a, b = coefficients(predicts, sde, t, sigma_data)
    return per_sample(a, x0) * x0 + per_sample(b, x0) * noise


def decode(predicts: Kind, sde: SDE, x: Sample, p: Sample, t: Array, sigma_data: float = 0.5) -> tuple[Sample, Sample]:
    """(x̂, ε̂) from the prediction p at x_t = x."""
    a, b = coefficients(predicts, sde, t, sigma_data)
    alpha, sigma = sde.alpha(t), sde.sigma(t)
    determinant = alpha * b - sigma * a
    x0 = per_sample(b / determinant, x) * x - per_sample(sigma / determinant, x) * p
    noise = per_sample(alpha / determinant, x) * p - per_sample(a / determinant, x) * x
    return x0, noise
