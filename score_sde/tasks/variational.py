"""Training on the variational bound alone, at levels drawn where its terms are large (Nichol & Dhariwal 2021)."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from score_sde.losses import variational_at
from score_sde.losses.importance import LossTable, drawn, empty_table, updated
from score_sde.losses.variational import levels_of_chain
from score_sde.randomness import Purpose, for_each
from score_sde.tasks.diffusion import Diffusion
from score_sde.tasks.examples import prepared
from score_sde.training.task import Batch, Context


@dataclasses.dataclass(frozen=True, eq=False)
class Variational(Diffusion):
    """A denoiser with a learned variance and the loss L_k/p_k: an estimate of Σ_k L_k, in bits per dimension.

    The table of the last ``history`` losses of each level is the task's memory. ``levels``: of the data in [−1, 1], see
    ``losses.variational``. ``loss_function`` is what the evaluators measure.
    """

    history: int = 10
    levels: int | None = 256

    @property
    def memory(self) -> PyTree:
        sde = jax.eval_shape(self.model, jax.random.key(0)).sde
        return empty_table(levels_of_chain(sde), self.history)._asdict()

    def loss(
        self, context: Context, batch: Batch, keys: Key[Array, "batch"]
    ) -> tuple[Float[Array, "batch"], Mapping[str, Float[Array, "batch"]]]:
        if not context.training:
            return super().loss(context, batch, keys)
        x0, condition = prepared(self.scaling, self.conditions, batch, keys, training=True)
        k, p = drawn(LossTable(**context.memory), for_each(keys, Purpose.TIME, jax.random.uniform))
        noise = for_each(keys, Purpose.NOISE, lambda key: jax.random.normal(key, x0.shape[1:], x0.dtype))
        model = context.model.with_dropout(for_each(keys, Purpose.DROPOUT))
        bits = variational_at(model, x0, k, noise, condition, levels=self.levels).bits
        return bits / p, {"level": k.astype(jnp.float32), "bits_of_level": jax.lax.stop_gradient(bits)}

    def remember(
        self, context: Context, batch: Batch, values: Float[Array, "batch"], metrics: Mapping[str, Any]
    ) -> PyTree:
        table = LossTable(**context.memory)
        return updated(table, metrics["level"].astype(int), metrics["bits_of_level"])._asdict()
