"""DDRM (Kawar et al. 2022): the reverse chain in the coordinates of A = U diag(s) Vᵀ, by how well each is measured.

With x̄ = Vᵀ x/α, σ̃ = σ/α, ȳ = Uᵀ y/s, τ = std/s, and x̄_0 = Vᵀ x̂ from one evaluation at t, the step to s draws x̄_s around

    not measured (s = 0)      x̄_0 + √(1 − η²) σ̃_s/σ̃_t (x̄_t − x̄_0)       with deviation η σ̃_s
    measured badly, σ̃_s < τ   x̄_0 + √(1 − η²) σ̃_s/τ (ȳ − x̄_0)             with deviation η σ̃_s
    measured well, σ̃_s >= τ   (1 − η_b) x̄_0 + η_b ȳ                         with deviation √(σ̃_s² − η_b² τ²)

(their eqs. 7 and 8). Without noise and with η_b = 1 this is DDNM.
"""

import dataclasses
import math
from typing import Unpack

import jax.numpy as jnp
from jaxtyping import Array, Key

from score_sde.checks import per_sample, require
from score_sde.denoiser import Denoiser
from score_sde.inverse.corrections import Measured
from score_sde.inverse.likelihood import GaussianLikelihood, told
from score_sde.samplers.loop import solve
from score_sde.samplers.method import Method, Step
from score_sde.samplers.options import Options
from score_sde.samplers.samples import Samples


@dataclasses.dataclass(frozen=True)
class DDRM(Method):
    """One step of DDRM; see the head of this file."""

    eta: float
    eta_b: float

    @property
    def draws(self) -> int:
        return 1

    def plan(self, sde, times):
        t, s = times[:-1], times[1:]
        ratio = jnp.exp(-sde.log_snr(times) / 2)
        return {"t": t, "s": s, "alpha_t": sde.alpha(t), "alpha_s": sde.alpha(s), "at_t": ratio[:-1], "at_s": ratio[1:]}

    def step(self, model, x, row, noise, memory, condition):
        y, rest = told(condition, "DDRM")
        A = model.likelihood.A
        svd = A.svd()
        x0, _ = model.model.predict(x, row["t"], rest)
        at_t, at_s, alpha_s = (row[name].astype(x.dtype) for name in ("at_t", "at_s", "alpha_s"))
        state = x / per_sample(row["alpha_t"], x)
        keep = math.sqrt(1 - self.eta**2)
        free = x0 + keep * at_s / at_t * (state - x0) + self.eta * at_s * noise[0]  # as if nothing were measured
        s = jnp.broadcast_to(svd.s, svd.from_x(x).shape[1:]).astype(x.dtype)
        measured = s > 1e-5 * jnp.max(s)
        inverse = jnp.where(measured, 1 / jnp.where(measured, s, 1.0), 0.0)
        mean, z, found = svd.from_x(x0), svd.from_x(noise[0]), svd.from_y(y) * inverse
        tau = jnp.asarray(model.likelihood.std, x.dtype) * inverse
        badly = mean + keep * at_s / jnp.where(tau > 0, tau, 1.0) * (found - mean) + self.eta * at_s * z
        rest_of = jnp.sqrt(jnp.maximum(at_s**2 - self.eta_b**2 * tau**2, 0.0))
        well = (1 - self.eta_b) * mean + self.eta_b * found + rest_of * z
        chosen = jnp.where(measured, jnp.where(at_s < tau, badly, well), svd.from_x(free))
        x_s = alpha_s * (free + svd.to_x(chosen - svd.from_x(free)))
        return Step(x_s, x_s, x0)


def ddrm(
    model: Denoiser,
    key: Key[Array, ""],
    n: int,
    shape: tuple[int, ...],
    likelihood: GaussianLikelihood,
    *,
    steps: int = 20,
    eta: float = 0.85,
    eta_b: float = 1.0,
    **options: Unpack[Options],
) -> Samples:
    """Draw n samples of x_0 given condition["y"] with DDRM; the operator needs a singular value decomposition."""
    for name, value in (("eta", eta), ("eta_b", eta_b)):
        require(0 <= value <= 1, f"{name} = {value}; allowed: 0 to 1")
    A = likelihood.A
    require(
        bool(getattr(A, "structured", False)) and jnp.ndim(likelihood.std) == 0,
        f"DDRM needs an operator with a singular value decomposition, and one std for all measurements; "
        f"{type(A).__name__} has structured = {getattr(A, 'structured', False)}. dense(A) makes one of a small operator",
    )
    measured = Measured(model.sde, model, likelihood, False)
    return solve(DDRM(float(eta), float(eta_b)), measured, key, n, shape, steps, **options)
