"""The true flow map of a denoiser: its probability flow, integrated to a tolerance."""

import dataclasses

import diffrax
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array

from score_sde.checks import Sample, as_time, per_sample, require
from score_sde.conditions import Condition
from score_sde.denoiser import Denoiser
from score_sde.flow_map.base import FlowMap, pair_through


@dataclasses.dataclass(frozen=True)
class Integrated(FlowMap):
    """The flow map of a denoiser, made by ``integrated``. It costs as many evaluations as the solver needs."""

    model: Denoiser
    rtol: float = dataclasses.field(metadata={"static": True})
    atol: float = dataclasses.field(metadata={"static": True})
    max_steps: int = dataclasses.field(metadata={"static": True})

    def predict(self, x: Sample, t: ArrayLike, s: ArrayLike, condition: Condition = None) -> tuple[Sample, Sample]:
        t, s = (jnp.broadcast_to(as_time(at, self.sde.t_max, x), x.shape[:1]) for at in (t, s))
        still = t == s
        further = pair_through(self.sde, x, t, self(x, t, s, condition), jnp.where(still, t / 2, s))
        here = self.model.predict(x, t, condition)
        return tuple(jnp.where(per_sample(still, x), a, b) for a, b in zip(here, further, strict=True))  # type: ignore

    def __call__(self, x: Sample, t: ArrayLike, s: ArrayLike, condition: Condition = None) -> Sample:
        t, s = (jnp.broadcast_to(as_time(at, self.sde.t_max, x), x.shape[:1]) for at in (t, s))

        def one(x: Array, t: Array, s: Array, condition: Condition) -> Array:
            condition = jax.tree.map(lambda leaf: leaf[None], condition)

            def velocity(at, y, _):
                return self.model.velocity(y.reshape(1, *x.shape), at, condition).ravel()

            solution = diffrax.diffeqsolve(
                diffrax.ODETerm(velocity),
                diffrax.Dopri8(),
                t,
                s,
                None,
                x.ravel(),
                stepsize_controller=diffrax.PIDController(rtol=self.rtol, atol=self.atol, pcoeff=0.3, icoeff=0.4),
                adjoint=diffrax.DirectAdjoint(),  # forward mode too
                max_steps=self.max_steps,
                throw=False,
            )
            return jnp.where(solution.result == diffrax.RESULTS.successful, solution.ys[0], jnp.nan).reshape(x.shape)

        return jax.vmap(one)(x, t, s, condition)


def integrated(model: Denoiser, *, rtol: float = 1e-5, atol: float = 1e-5, max_steps: int = 1024) -> Integrated:
    """The flow map of any denoiser, exact to the tolerance: the truth for losses and distilled models.

    Samples whose solver gave up after ``max_steps`` are NaN.
    """
    require(rtol > 0 and atol >= 0, f"rtol = {rtol}, atol = {atol}: rtol > 0 and atol >= 0")
    return Integrated(model.sde, model, float(rtol), float(atol), max_steps)
