"""Models K of Cov[x_0 | x_t], of which posterior methods differ: what the measurement knows of x_0 through x̂.

Each gives the product K v, and solves (A K Aᵀ + Σ) w = r. At a point x_t of a sampler:

    Tweedie     C = (σ²/α) ∂x̂/∂x, the true one; each product is a pullback through the network
    Diagonal    the diagonal of A C Aᵀ, one pullback for each measurement
    Isotropic   ρ I with ρ = v σ²/(α² v + σ²): that of data N(·, v I)
    Scaled      ρ I with ρ = γ σ²/α²
    Flat        A K Aᵀ = γ σ²/α² I, whatever A
    Prior       σ² C_0 (α² C_0 + σ² I)⁻¹ of a Gaussian prior
    PseudoInverse   I, for measurements without noise
"""

import dataclasses
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from score_sde import pytree
from score_sde.analytic import Gaussian
from score_sde.checks import per_sample, require
from score_sde.inverse.point import Point, Product
from score_sde.inverse.solvers import CG, GMRES, Solver, solved


@runtime_checkable
class Covariance(Protocol):
    """A model of Cov[x_0 | x_t]."""

    def product(self, at: Point) -> Product:
        """v -> K v."""
        ...

    def solve(self, at: Point, r: Array) -> tuple[Array, Float[Array, "batch"]]:
        """(w, relative residual) with (A K Aᵀ + Σ) w = r."""
        ...

    def pullbacks(self, measurements: int) -> int:
        """The number of pullbacks through the network that ``solve`` needs."""
        ...


@dataclasses.dataclass(frozen=True)
class Tweedie:
    """C itself (Rozet et al. 2024).

    The derivative of a trained network is neither symmetric nor positive, and σ²/α amplifies that where noise is large:
    conjugate gradients diverge there, GMRES does not. Five iterations are enough for a network, twenty follow its errors.
    """

    solver: Solver = dataclasses.field(default=GMRES(), metadata={"static": True})

    def product(self, at: Point) -> Product:
        return at.tweedie

    def solve(self, at: Point, r: Array) -> tuple[Array, Float[Array, "batch"]]:
        return solved(self.solver, at.system(at.tweedie), r)

    def pullbacks(self, measurements: int) -> int:
        return self.solver.iterations


@dataclasses.dataclass(frozen=True)
class Diagonal:
    """The diagonal of A C Aᵀ (Boys et al. 2024, whose code takes the row sums A C Aᵀ 1, which can vanish)."""

    def product(self, at: Point) -> Product:
        return at.tweedie

    def solve(self, at: Point, r: Array) -> tuple[Array, Float[Array, "batch"]]:
        flat = r.reshape(len(r), -1)

        def entry(i: Array) -> Array:
            one = jnp.zeros_like(flat).at[:, i].set(1).reshape(r.shape)
            return at.push(at.tweedie(at.pull(one))).reshape(flat.shape)[:, i]

        diagonal = jax.lax.map(entry, jnp.arange(flat.shape[1])).T.reshape(r.shape)
        return r / (diagonal + at.variance), jnp.zeros(len(r), r.dtype)

    def pullbacks(self, measurements: int) -> int:
        return measurements


class _OfRho:
    """K = ρ I: solved in closed form where A has one, otherwise by conjugate gradients, without the network."""

    solver: Solver

    def rho(self, at: Point) -> Float[Array, "batch"]:
        raise NotImplementedError

    def product(self, at: Point) -> Product:
        rho = self.rho(at)
        return lambda v: per_sample(rho, v) * v

    def solve(self, at: Point, r: Array) -> tuple[Array, Float[Array, "batch"]]:
        if getattr(at.A, "structured", False) and at.variance.ndim == 0:
            return at.A.solve(r, self.rho(at), at.variance), jnp.zeros(len(r), r.dtype)
        return solved(self.solver, at.system(self.product(at)), r)

    def pullbacks(self, measurements: int) -> int:
        return 0


@dataclasses.dataclass(frozen=True)
class Isotropic(_OfRho):
    """ρ = v σ²/(α² v + σ²) (Song et al. 2023, section 3.3, with v = 1)."""

    v: float = 1.0
    solver: Solver = dataclasses.field(default=CG(50), metadata={"static": True})

    def __post_init__(self):
        require(self.v > 0, f"v = {self.v}; it must be positive: the variance of the data")

    def rho(self, at: Point) -> Float[Array, "batch"]:
        return self.v * at.sigma**2 / (at.alpha**2 * self.v + at.sigma**2)


@dataclasses.dataclass(frozen=True)
class Scaled(_OfRho):
    """ρ = γ σ²/α²: no prior (DiffPIR's with γ = 1/λ; Zhu et al. 2023)."""

    gamma: float = 1.0
    solver: Solver = dataclasses.field(default=CG(50), metadata={"static": True})

    def __post_init__(self):
        require(self.gamma > 0, f"gamma = {self.gamma}; it must be positive")

    def rho(self, at: Point) -> Float[Array, "batch"]:
        return self.gamma * at.sigma**2 / at.alpha**2


@dataclasses.dataclass(frozen=True)
class Flat:
    """A K Aᵀ = γ σ²/α² I (Rozet & Louppe 2023, eq. 17)."""

    gamma: float = 0.1

    def product(self, at: Point) -> Product:
        scale = self.gamma * at.sigma**2 / at.alpha**2
        return lambda v: per_sample(scale, v) * v

    def solve(self, at: Point, r: Array) -> tuple[Array, Float[Array, "batch"]]:
        scale = per_sample(self.gamma * at.sigma**2 / at.alpha**2, r)
        return r / (scale + at.variance), jnp.zeros(len(r), r.dtype)

    def pullbacks(self, measurements: int) -> int:
        return 0


@dataclasses.dataclass(frozen=True)
class Prior:
    """σ² C_0 (α² C_0 + σ² I)⁻¹, the covariance under a Gaussian prior N(m, C_0): exact if the data are this Gaussian."""

    gaussian: Gaussian
    solver: Solver = dataclasses.field(default=CG(50), metadata={"static": True})

    def product(self, at: Point) -> Product:
        a, s = at.alpha[:, None], at.sigma[:, None]
        return lambda v: self.gaussian.apply(lambda c: s**2 * c / (a**2 * c + s**2), v)

    def solve(self, at: Point, r: Array) -> tuple[Array, Float[Array, "batch"]]:
        return solved(self.solver, at.system(self.product(at)), r)

    def pullbacks(self, measurements: int) -> int:
        return 0


@dataclasses.dataclass(frozen=True)
class PseudoInverse:
    """K = I for a linear A and no noise: w = (A⁺)ᵀ A⁺ r, so that K Aᵀ w = A⁺ r."""

    def product(self, at: Point) -> Product:
        return lambda v: v

    def solve(self, at: Point, r: Array) -> tuple[Array, Float[Array, "batch"]]:
        found, pullback = jax.vjp(at.A.pinv, r)
        return pullback(found)[0], jnp.zeros(len(r), r.dtype)

    def pullbacks(self, measurements: int) -> int:
        return 0


for _class in (PseudoInverse, Tweedie, Diagonal, Isotropic, Scaled, Flat, Prior):
    pytree.register(_class, static_unless_told=False)
