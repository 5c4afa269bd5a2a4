"""Training a flow map: from a teacher, from data, or both, with a loss of ``score_sde.losses.few_step``."""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from score_sde.checks import Sample, require
from score_sde.conditions import Condition, Conditions
from score_sde.data.scaling import DataScaling
from score_sde.denoiser import Cost, Denoiser, Wrapper
from score_sde.evaluation import HeldOutLoss
from score_sde.flow_map import FlowMap, NetworkFlowMap, ddim, student_of, without_dropout
from score_sde.guidance import classifier_free
from score_sde.losses.few_step import lagrangian
from score_sde.tasks.examples import prepared
from score_sde.training.task import Batch, Context, Task


@dataclasses.dataclass(frozen=True)
class GuidedByLeaf(Wrapper):
    """The model with classifier-free guidance by the scale that a leaf of the condition holds."""

    leaf: str = dataclasses.field(metadata={"static": True})
    null: Mapping[str, int | float]

    @property
    def cost(self) -> Cost:
        return self.model.cost + self.model.cost

    def predict(self, x: Sample, t: ArrayLike, condition: Condition = None) -> tuple[Sample, Sample]:
        return self._guided(condition).predict(x, t, self._rest(condition))

    def on_chain(
        self, x: Sample, t: ArrayLike, condition: Condition = None
    ) -> tuple[Sample, Sample, Mapping[str, Sample]]:
        return self._guided(condition).on_chain(x, t, self._rest(condition))

    def _guided(self, condition: Condition) -> Denoiser:
        return classifier_free(self.model, condition[self.leaf], null=self.null)

    def _rest(self, condition: Condition) -> Condition:
        return {name: value for name, value in condition.items() if name != self.leaf}


@dataclasses.dataclass(frozen=True, eq=False)
class Distillation(Task):
    """A flow map and a loss (flow_map, x0, keys, condition, *, teacher, target, step) -> (batch,), of which it is given
    those of the last three that it takes.

    teacher    a denoiser, frozen; the student begins with its weights, as its step of DDIM, unless ``begin`` is False
    guidance   the scale of classifier-free guidance of the teacher: the student learns the guided flow. Or the name of a
               leaf that holds the scale of each example: the student, whose network.numbers name it too, learns all
               (Meng et al. 2023): config.conditions.guidance = {"between": (1, 4), "null": 1.0}
    target     the average that is the loss's target; by default the student itself, without gradient
    """

    model: Callable[[Key[Array, ""]], FlowMap]
    loss_function: Callable[..., Float[Array, "batch"]] = lagrangian
    teacher: Denoiser | None = None
    begin: bool = True
    guidance: float | str = 1.0
    target: str | None = None
    scaling: DataScaling = DataScaling(levels=None)
    conditions: Conditions = Conditions()

    def __post_init__(self):
        require(
            not isinstance(self.guidance, str) or self.guidance in self.conditions.leaves,
            f"guidance = {self.guidance!r} is no leaf of the condition; give a number, or a leaf of config.conditions",
        )
        require(
            self.guidance == 1 or (self.teacher is not None and bool(self._null)),
            f"guidance = {self.guidance} is of a teacher with conditions that it may be told or not; this one has none",
        )

    @property
    def frozen(self) -> Mapping[str, Any]:
        return {} if self.teacher is None else {"teacher": self.teacher}

    def init(self, key: Key[Array, ""]) -> FlowMap:
        model = self.model(key)
        if not isinstance(model, FlowMap):
            raise ValueError(
                f"the model is a {type(model).__name__}, but distillation trains a flow map; set config.denoiser.name = "
                '"network_flow_map" and config.network.second_level = True'
            )
        if self.teacher is None or not self.begin or not isinstance(model, NetworkFlowMap):
            return model
        return student_of(self.teacher, model)

    def loss(
        self, context: Context, batch: Batch, keys: Key[Array, "batch"]
    ) -> tuple[Float[Array, "batch"], Mapping[str, Float[Array, "batch"]]]:
        x0, condition = prepared(self.scaling, self.conditions, batch, keys, training=context.training)
        model, target = context.model, None
        if self.target is not None:
            require(
                self.target in context.averages,
                f"target = {self.target!r} is no average; there are: {', '.join(context.averages) or 'none'}",
            )
            target = context.averages[self.target]
        if not context.training:
            model, target = without_dropout(model), None if target is None else without_dropout(target)
        given = {"teacher": self._guided(context.frozen), "target": target, "step": context.step}
        wanted = {name: value for name, value in given.items() if name in self._takes}
        return self.loss_function(model, x0, keys, condition, **wanted), {}

    def rehearsal(self, denoiser: Denoiser) -> tuple[FlowMap, Mapping[str, Any]]:
        taught = "teacher" in self._takes and self.teacher is not None
        return ddim(denoiser), {"teacher": denoiser} if taught else {}

    def evaluators(self) -> Mapping[str, Any]:
        return {"held_out_loss": HeldOutLoss()}

    def preview(
        self, model: FlowMap, batch: Batch, key: Key[Array, ""], sample: Callable[[Key[Array, ""]], Array]
    ) -> Mapping[str, Array]:
        return {"samples": sample(key)}

    def _guided(self, frozen: Mapping[str, Any]) -> Denoiser | None:
        teacher = frozen.get("teacher")
        if teacher is None or self.guidance == 1:
            return teacher
        if isinstance(self.guidance, str):
            return GuidedByLeaf(teacher.sde, teacher, self.guidance, self._null)
        return classifier_free(teacher, self.guidance, null=self._null)

    @property
    def _null(self) -> dict[str, int | float]:
        """The null values of the teacher's leaves."""
        return {name: value for name, value in self.conditions.null.items() if name != self.guidance}

    @functools.cached_property
    def _takes(self) -> Mapping[str, inspect.Parameter]:
        return inspect.signature(self.loss_function).parameters
