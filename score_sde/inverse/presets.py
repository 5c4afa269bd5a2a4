"""The methods of papers as settings of ``condition``. A: an operator; std: the deviation of the noise in model space.

C = (σ²/α) ∂x̂/∂x is the covariance of x_0 | x_t, r = y − A x̂, Σ = std² I.
"""

from typing import Any

from jax.typing import ArrayLike

from score_sde.analytic import Gaussian
from score_sde.checks import require
from score_sde.denoiser import Denoiser
from score_sde.inverse.covariances import Diagonal, Flat, Isotropic, Prior, PseudoInverse, Scaled, Tweedie
from score_sde.inverse.likelihood import GaussianLikelihood
from score_sde.inverse.posterior import PosteriorDenoiser, condition
from score_sde.inverse.solvers import GMRES, Solver


def mmps(
    model: Denoiser,
    A: Any,
    std: ArrayLike,
    *,
    solver: Solver = GMRES(),  # noqa: B008
    tolerance: float | None = None,
) -> PosteriorDenoiser:
    """Moment matching (Rozet et al. 2024): x̂ + C Aᵀ (A C Aᵀ + Σ)⁻¹ r. Exact for every Gaussian prior.

    ``tolerance``: samples whose linear system keeps a larger relative residual fail (see ``condition``).
    """
    return condition(model, GaussianLikelihood(A, std), Tweedie(solver), tolerance=tolerance)


def pigdm(model: Denoiser, A: Any, std: ArrayLike, *, v: float = 1.0) -> PosteriorDenoiser:
    """ΠGDM (Song et al. 2023): x̂ + C Aᵀ (ρ A Aᵀ + Σ)⁻¹ r, ρ = v σ²/(α² v + σ²). Exact for data N(m, v I)."""
    return condition(model, GaussianLikelihood(A, std), Isotropic(v))


def tmpd(model: Denoiser, A: Any, std: ArrayLike) -> PosteriorDenoiser:
    """Tweedie moment projection (Boys et al. 2024): x̂ + C Aᵀ (diag(A C Aᵀ) + Σ)⁻¹ r."""
    return condition(model, GaussianLikelihood(A, std), Diagonal())


def sda(model: Denoiser, A: Any, std: ArrayLike, *, gamma: float = 0.1) -> PosteriorDenoiser:
    """Score-based data assimilation (Rozet & Louppe 2023): x̂ + C Aᵀ r/(std² + γ σ²/α²)."""
    return condition(model, GaussianLikelihood(A, std), Flat(gamma))


def jfps(model: Denoiser, A: Any, std: ArrayLike, prior: Gaussian) -> PosteriorDenoiser:
    """Jacobian-free: x̂ + K Aᵀ (A K Aᵀ + Σ)⁻¹ r, K = σ² C_0 (α² C_0 + σ² I)⁻¹. Exact for this Gaussian prior."""
    return condition(model, GaussianLikelihood(A, std), Prior(prior), through=False)


def diffpir(model: Denoiser, A: Any, std: ArrayLike, *, lam: float = 1.0) -> PosteriorDenoiser:
    """DiffPIR (Zhu et al. 2023): argmin ‖y − A x_0‖²/(2 std²) + λ α²/(2 σ²) ‖x_0 − x̂‖²."""
    return condition(model, GaussianLikelihood(A, std), Scaled(1 / lam), through=False)


def ddnm(model: Denoiser, A: Any) -> PosteriorDenoiser:
    """DDNM (Wang et al. 2023): x̂ + A⁺ r, for measurements without noise. The limit std -> 0 of DiffPIR."""
    require(
        bool(getattr(A, "linear", True)),
        "DDNM needs a linear operator with a pseudo-inverse; linearise it, or use mmps",
    )
    return condition(model, GaussianLikelihood(A, 0.0), PseudoInverse(), through=False)
