"""Predictor-corrector sampling (Song et al. 2021, algorithm 1, in the order of the published code)."""

import dataclasses
from typing import Unpack

import jax
from jaxtyping import Array, Key

from score_sde.checks import require
from score_sde.denoiser import Denoiser
from score_sde.samplers import grids
from score_sde.samplers.correctors import Corrector
from score_sde.samplers.loop import solve
from score_sde.samplers.method import Method, Step
from score_sde.samplers.options import Options
from score_sde.samplers.predictors import Predictor, ReverseDiffusion
from score_sde.samplers.samples import Samples
from score_sde.sde import SDE


@dataclasses.dataclass(frozen=True)
class PredictorCorrector(Method):
    """At each t: the corrector's steps at t, then the predictor from t to s."""

    predictor: Predictor | None
    corrector: Corrector | None

    def default_grid(self, sde: SDE, steps: int):
        return grids.native(sde, steps)

    @property
    def corrections(self) -> int:
        return self.corrector.steps if self.corrector else 0

    @property
    def draws(self) -> int:
        return self.corrections + 1  # in the order of use; the predictor's is drawn even without a predictor

    @property
    def evaluations(self) -> int:
        return self.corrections + (self.predictor is not None)

    @property
    def knows_x0(self) -> bool:
        return False

    def plan(self, sde, times):
        return {"t": times[:-1], "s": times[1:]} if times.ndim == 1 else {"t": times[:, 0], "s": times[:, 1]}

    def step(self, model, x, row, noise, memory, condition):
        t, s = row["t"], row["s"]
        mean = x
        if self.corrector is not None:
            corrector = self.corrector

            def correct(state, z):
                return corrector.step(model, state[0], t, s, z, condition), None

            (x, mean), _ = jax.lax.scan(correct, (x, mean), noise[: self.corrections])
        if self.predictor is not None:
            x, mean = self.predictor.step(model, x, t, s, noise[-1], condition)
        return Step(x, mean)


def predictor_corrector(
    model: Denoiser,
    key: Key[Array, ""],
    n: int,
    shape: tuple[int, ...],
    *,
    steps: int = 1000,
    predictor: Predictor | None = ReverseDiffusion(),  # noqa: B008 - a frozen value
    corrector: Corrector | None = None,
    **options: Unpack[Options],
) -> Samples:
    """Draw n samples with any predictor and any corrector; None omits either one.

    The default grid, ``grids.native``, has ``steps`` steps down to t_min_sampling; a denoising step follows. For
    numbers comparable with the paper, use the scheme of the original code::

        predictor_corrector(..., time_grid=ss.samplers.grids.published, final="mean")

    whose Langevin corrector is ``Langevin(snr, norms="batch")``.
    """
    require(predictor is not None or corrector is not None, "predictor and corrector are both None; give one")
    return solve(PredictorCorrector(predictor, corrector), model, key, n, shape, steps, pairs=True, **options)
