"""Linear systems S w = r for each sample of a batch on its own: a sample does not depend on its neighbours."""

import dataclasses
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from score_sde.checks import per_sample, require, sum_over_sample

Product = Callable[[Array], Array]


@runtime_checkable
class Solver(Protocol):
    """(the product with S, r) -> (w, ‖S w − r‖/‖r‖ of each sample)."""

    @property
    def iterations(self) -> int:
        """The number of products, of which each costs a pullback if S contains the network's derivative."""
        ...

    def __call__(self, product: Product, r: Array) -> tuple[Array, Float[Array, "batch"]]: ...  # numpydoc ignore=GL08


@dataclasses.dataclass(frozen=True)
class CG:
    """Conjugate gradients, for symmetric positive S, a fixed number of iterations; what is solved stays as it is."""

    iterations: int = 20

    def __post_init__(self):
        require(self.iterations >= 1, f"iterations = {self.iterations}; allowed: 1 or more")

    def __call__(self, product: Product, r: Array) -> tuple[Array, Float[Array, "batch"]]:
        enough = (10 * jnp.finfo(r.dtype).eps) ** 2 * sum_over_sample(r**2)

        def step(carry: tuple, _: None) -> tuple[tuple, None]:
            w, left, direction, squared = carry
            along = product(direction)
            size = jnp.where(squared > enough, _over(squared, sum_over_sample(direction * along)), 0.0)
            w = w + per_sample(size, r) * direction
            left = left - per_sample(size, r) * along
            after = sum_over_sample(left**2)
            direction = left + per_sample(_over(after, squared), r) * direction
            return (w, left, direction, after), None

        start = jnp.zeros_like(r), r, r, sum_over_sample(r**2)
        (w, left, _, _), _ = jax.lax.scan(step, start, None, length=self.iterations)
        return w, jnp.sqrt(_over(sum_over_sample(left**2), sum_over_sample(r**2)))


@dataclasses.dataclass(frozen=True)
class GMRES:
    """Minimal residuals over the Krylov space, for any S: the derivative of a trained network is not symmetric."""

    iterations: int = 10

    def __post_init__(self):
        require(self.iterations >= 1, f"iterations = {self.iterations}; allowed: 1 or more")

    def __call__(self, product: Product, r: Array) -> tuple[Array, Float[Array, "batch"]]:
        n, size = self.iterations, jnp.sqrt(sum_over_sample(r**2))
        flat = r.reshape(len(r), -1)
        basis = jnp.zeros((n + 1, *flat.shape), r.dtype).at[0].set(flat * _over(jnp.ones_like(size), size)[:, None])
        hessenberg = jnp.zeros((len(r), n + 1, n), r.dtype)

        def step(carry: tuple, k: Array) -> tuple[tuple, None]:
            basis, hessenberg = carry
            new = product(basis[k].reshape(r.shape)).reshape(flat.shape)
            column = jnp.zeros((len(r), n + 1), r.dtype)
            for _ in range(2):  # orthogonal to all before, twice: once loses digits
                along = jnp.einsum("kbd,bd->bk", basis, new)
                new = new - jnp.einsum("bk,kbd->bd", along, basis)
                column = column + along
            left = jnp.sqrt(jnp.sum(new**2, axis=1))
            column = column.at[:, k + 1].set(left)
            basis = basis.at[k + 1].set(new * _over(jnp.ones_like(left), left)[:, None])
            return (basis, hessenberg.at[:, :, k].set(column)), None

        (basis, hessenberg), _ = jax.lax.scan(step, (basis, hessenberg), jnp.arange(n))
        wanted = jnp.zeros((len(r), n + 1), r.dtype).at[:, 0].set(size)
        along = jnp.einsum("bkm,bm->bk", jnp.linalg.pinv(hessenberg), wanted)
        w = jnp.einsum("bk,kbd->bd", along, basis[:-1])
        left = wanted - jnp.einsum("bmk,bk->bm", hessenberg, along)
        return w.reshape(r.shape), _over(jnp.sqrt(jnp.sum(left**2, axis=1)), size)


def solved(solver: Solver, product: Product, r: Array) -> tuple[Array, Float[Array, "batch"]]:
    """(w, relative residual) with S w = r; its derivative solves S dw = dr − dS w, instead of following the iterations."""

    def solve(product: Product, r: Array) -> tuple[Array, Float[Array, "batch"]]:
        return solver(product, r)

    return jax.lax.custom_linear_solve(product, r, solve, solve, has_aux=True)


def _over(a: Array, b: Array) -> Array:
    """a/b, and 0 where b = 0: a system that is solved stays solved."""
    return jnp.where(b == 0, 0, a / jnp.where(b == 0, 1, b))
