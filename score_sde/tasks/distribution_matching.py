"""Distribution matching: a flow map whose samples at t_min have the teacher's law, without following its flow.

The gradient of KL(p_generator ‖ p_teacher), both noised to τ, with respect to a sample x is the difference of their scores.
The second is the teacher's, the first is learned on the way (Yin et al. 2024):

    generator   ½ ‖x − sg(x − g)‖²/d,   g = (x̂_fake(x_τ, τ) − x̂_teacher(x_τ, τ))/mean|x − x̂_teacher|
    fake        ``denoising`` of the generator's samples, several steps for each of the generator's (Yin et al. 2024b)
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from score_sde.checks import Sample, per_sample, require, sum_over_sample
from score_sde.conditions import Condition, Conditions
from score_sde.data.scaling import DataScaling
from score_sde.denoiser import Cost, Denoiser
from score_sde.evaluation import HeldOutLoss
from score_sde.flow_map import FlowMap, NetworkFlowMap, ddim, student_of
from score_sde.guidance import classifier_free
from score_sde.losses import AngleUniform, Times, denoising_at, edm
from score_sde.losses.few_step.pairs import uniforms
from score_sde.losses.few_step.parts import dropped, noise_of
from score_sde.losses.few_step.steps import time_of_angle
from score_sde.losses.weightings import Weighting
from score_sde.randomness import Purpose, for_each
from score_sde.tasks.examples import prepared
from score_sde.training.task import Batch, Context, Task


@dataclasses.dataclass(frozen=True)
class Matched(FlowMap):
    """A generator, and the denoiser of what it generates. As a flow map it is the generator."""

    generator: FlowMap
    fake: Denoiser

    @property
    def cost(self) -> Cost:
        return self.generator.cost

    @property
    def only_to_data(self) -> bool:
        return self.generator.only_to_data

    def predict(self, x: Sample, t: ArrayLike, s: ArrayLike, condition: Condition = None) -> tuple[Sample, Sample]:
        return self.generator.predict(x, t, s, condition)

    def with_dropout(self, keys: Key[Array, "batch"]) -> "Matched":
        return dataclasses.replace(self, generator=self.generator.with_dropout(keys))


@dataclasses.dataclass(frozen=True, eq=False)
class DistributionMatching(Task):
    """The generator and the fake denoiser begin as the teacher. With ``every`` = 6, five steps of the fake denoiser
    alternate with one of the generator; the optimiser must do the same:
    config.optim.rule = {"name": "in_turns", "slow": "^generator", "every": 6}.

    steps      the generator maps from this many times, even in the angle: from noise, and from noised data. Sample with as
               many steps and gamma = 1
    guidance   the scale of classifier-free guidance of the teacher
    times      the law of τ
    """

    model: Callable[[Key[Array, ""]], FlowMap]
    teacher: Denoiser
    steps: int = 1
    every: int = 6
    guidance: float = 1.0
    times: Times = AngleUniform()  # noqa: RUF009 (a frozen value)
    weighting: Weighting = edm()  # noqa: RUF009
    scaling: DataScaling = DataScaling(levels=None)
    conditions: Conditions = Conditions()

    def __post_init__(self):
        require(self.steps >= 1, f"steps = {self.steps}; allowed: 1 or more")
        require(self.every >= 2, f"every = {self.every}; allowed: 2 or more steps, of which the generator has one")
        require(
            self.guidance == 1 or bool(self.conditions.null),
            f"guidance = {self.guidance} is of a teacher with conditions that it may be told or not; this one has none",
        )

    @property
    def frozen(self) -> Mapping[str, Any]:
        return {"teacher": self.teacher}

    def init(self, key: Key[Array, ""]) -> Matched:
        generator = self.model(key)
        if isinstance(generator, NetworkFlowMap):
            generator = student_of(self.teacher, generator)
        return Matched(generator.sde, generator, jax.tree.map(jnp.array, self.teacher))

    def loss(
        self, context: Context, batch: Batch, keys: Key[Array, "batch"]
    ) -> tuple[Float[Array, "batch"], Mapping[str, Float[Array, "batch"]]]:
        x0, condition = prepared(self.scaling, self.conditions, batch, keys, training=context.training)
        model, sde = context.model, context.model.sde
        (generator,) = dropped(keys, model.generator) if context.training else (model.generator,)
        start = time_of_angle(sde, 1 - jnp.floor(uniforms(keys)[0] * self.steps) / self.steps)
        noise, second = noise_of(x0, keys), for_each(keys, Purpose.SECOND)
        pure = per_sample(start >= sde.t_max_sampling, x0)
        x_t = jnp.where(pure, per_sample(sde.sigma(start), x0) * noise, sde.perturb(x0, start, noise))
        tau, fresh = self.times.quantile(sde, uniforms(second)[0]), noise_of(x0, second)

        def of_generator() -> Float[Array, "batch"]:
            x = generator(x_t, start, jnp.full_like(start, sde.t_min), condition)
            return matching(model.fake, self._real(context.frozen["teacher"]), x, tau, fresh, condition)

        def of_fake() -> Float[Array, "batch"]:
            x = jax.lax.stop_gradient(generator(x_t, start, jnp.full_like(start, sde.t_min), condition))
            return denoising_at(model.fake, x, tau, fresh, condition, weighting=self.weighting)

        turn = context.training & (context.step % self.every == self.every - 1)
        return jax.lax.cond(turn, of_generator, of_fake), {}

    def rehearsal(self, denoiser: Denoiser) -> tuple[FlowMap, Mapping[str, Any]]:
        return ddim(denoiser), {}

    def evaluators(self) -> Mapping[str, Any]:
        return {"held_out_loss": HeldOutLoss()}

    def preview(
        self, model: Matched, batch: Batch, key: Key[Array, ""], sample: Callable[[Key[Array, ""]], Array]
    ) -> Mapping[str, Array]:
        return {"samples": sample(key)}

    def _real(self, teacher: Denoiser) -> Denoiser:
        if self.guidance == 1:
            return teacher
        return classifier_free(teacher, self.guidance, null=self.conditions.null)


def matching(
    fake: Denoiser, real: Denoiser, x: Sample, tau: Float[Array, "batch"], noise: Sample, condition: Condition = None
) -> Float[Array, "batch"]:
    """½ ‖x − sg(x − g)‖²/d, whose gradient with respect to x is g/d."""
    x_tau, d = fake.sde.perturb(x, tau, noise), max(x[0].size, 1)
    of_fake, of_real = (jax.lax.stop_gradient(model.denoise(x_tau, tau, condition)) for model in (fake, real))
    size = sum_over_sample(jnp.abs(jax.lax.stop_gradient(x) - of_real)) / d
    g = (of_fake - of_real) / per_sample(jnp.maximum(size, 1e-6), x)
    return 0.5 * sum_over_sample((x - jax.lax.stop_gradient(x - g)) ** 2) / d
