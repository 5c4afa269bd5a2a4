"""A task of one's own: a student that learns from a frozen teacher, and stays near the average of itself."""

import dataclasses
from collections.abc import Callable

import jax

from score_sde.checks import sum_over_sample
from score_sde.data import DataScaling
from score_sde.denoiser import Denoiser
from score_sde.randomness import Purpose, for_each
from score_sde.training.task import Task


@dataclasses.dataclass(frozen=True, eq=False)
class Student(Task):
    """‖x̂(x_t) − x̂_teacher(x_t)‖² + pull ‖x̂(x_t) − x̂_average(x_t)‖² at even times."""

    model: Callable
    teacher: Denoiser
    scaling: DataScaling = DataScaling(levels=None)
    pull: float = 0.1

    @property
    def frozen(self):
        return {"teacher": self.teacher}

    def init(self, key):
        return self.model(key)

    def loss(self, context, batch, keys):
        x0 = self.scaling.forward(batch["data"])
        sde = context.model.sde
        t = sde.t_min + (sde.t_max - sde.t_min) * for_each(keys, Purpose.TIME, jax.random.uniform)
        x_t = sde.perturb(x0, t, for_each(keys, Purpose.NOISE, lambda key: jax.random.normal(key, x0.shape[1:])))
        own, target, slow = (
            model.denoise(x_t, t) for model in (context.model, context.frozen["teacher"], context.averages["ema"])
        )
        to_teacher, to_average = sum_over_sample((own - target) ** 2), sum_over_sample((own - slow) ** 2)
        return to_teacher + self.pull * to_average, {"to_teacher": to_teacher}
