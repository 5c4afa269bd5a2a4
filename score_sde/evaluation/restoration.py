"""How well held-out images are restored: PSNR, SSIM and MS-SSIM of restored images against the originals."""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from score_sde.checks import require
from score_sde.conditions import Condition
from score_sde.evaluation.evaluator import Batch, PerExample, State, Subject, mean_of
from score_sde.evaluation.metrics.estimate import Estimate
from score_sde.evaluation.metrics.similarity import ms_ssim, psnr, ssim
from score_sde.evaluation.unit_range import in_model_space, in_unit_range
from score_sde.randomness import keys_of

Images = Float[Array, "batch height width channels"]
Restore = Callable[[Any, Images, Key[Array, "batch"], Condition], Images]
"""(model, images x_0 in model space, a key for each, their condition) -> restored images; it degrades them itself."""


@dataclasses.dataclass(frozen=True)
class Restoration(PerExample):
    """The mean similarity of ``first`` held-out images, after restoration, to the originals.

    By default they are noised to time ``t`` and denoised by one evaluation, x̂(α x_0 + σ ε, t), the estimate of least
    squared error; ``restore`` is another function. SSIM needs 11 x 11 pixels, MS-SSIM more than 160 x 160; smaller
    images go without.
    """

    t: float = 0.5
    first: int | None = 1000
    restore: Restore | None = None
    of: ClassVar[Literal["examples", "samples"]] = "examples"

    def __post_init__(self):
        require(0 < self.t <= 1, f"t = {self.t}; allowed: above 0, up to 1")

    def __repr__(self) -> str:
        how = (
            f"t={self.t}" if self.restore is None else f"restore={self.restore.__module__}:{self.restore.__qualname__}"
        )
        return f"Restoration({how}, first={self.first})"

    def measure(self, subject: Subject, batch: Batch, key: Key[Array, ""]) -> dict[str, Float[Array, "batch"]]:
        x0 = in_model_space(subject.scaling, jnp.asarray(batch["data"]))
        restore = self.restore or self._denoised_once
        restored = restore(subject.model, x0, keys_of(key, batch["index"]), subject.condition(batch, key))
        return similarity(*(in_unit_range(subject.scaling, x) for x in (restored, x0)))

    def result(self, subject: Subject, state: State) -> dict[str, Any]:
        metrics = {name: entry(value.astype(np.float64)) for name, value in state.items() if name != "n"}
        return {"metrics": metrics, "examples": int(state["n"])}

    def _denoised_once(self, model: Any, x0: Images, keys: Key[Array, "batch"], condition: Condition) -> Images:
        noise = jax.vmap(lambda key, x: jax.random.normal(key, x.shape))(keys, x0)
        x_t = model.sde.alpha(self.t) * x0 + model.sde.sigma(self.t) * noise
        return model.denoise(x_t, jnp.full(len(x0), self.t), condition)


def similarity(images: Images, originals: Images) -> dict[str, Float[Array, "batch"]]:
    """PSNR, and SSIM and MS-SSIM of images that are large enough, in the range from 0 to 1."""
    shortest = min(originals.shape[1:3])
    return {
        "psnr": psnr(images, originals),
        **({"ssim": ssim(images, originals)} if shortest >= 11 else {}),
        **({"ms_ssim": ms_ssim(images, originals)} if shortest > 160 else {}),
    }


def entry(values: np.ndarray) -> dict[str, Any]:
    """A mean as a metric in the JSON, with its interval."""
    mean = mean_of(values)
    interval = Estimate(float(values.mean()), mean["standard_error"]).interval()  # type: ignore[arg-type]
    found = {"value": mean["mean"], "standard_error": mean["standard_error"], "interval": interval}
    return {**found, "n": len(values), "n_reference": len(values)}
