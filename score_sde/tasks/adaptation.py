"""Training an adapter of a trained model: ControlNet, an image prompt, LoRA. The base's weights stay as they are."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from jaxtyping import Array, Key

from score_sde.checks import require
from score_sde.denoiser import Denoiser, NetworkDenoiser
from score_sde.networks.adapters import adapted
from score_sde.tasks.diffusion import Diffusion


@dataclasses.dataclass(frozen=True, eq=False)
class Adaptation(Diffusion):
    """A diffusion task whose ``model`` makes an adapter, a module of ``networks.adapters``, around a base.

    base       the denoiser that is adapted, frozen: a reference to another run in a config

    Only the adapter is in checkpoints and averages; the base is known by its run and the hash of its weights.
    """

    model: Callable[[Key[Array, ""]], Any]
    base: Denoiser = dataclasses.field(kw_only=True)

    def __post_init__(self):
        require(
            isinstance(self.base, NetworkDenoiser),
            f"the base is a {type(self.base).__name__}; allowed: a run of the task diffusion or adaptation, whose model "
            "is a network's denoiser",
        )

    @property
    def frozen(self) -> Mapping[str, Any]:
        return {"base": self.base}

    def init(self, key: Key[Array, ""]) -> Any:
        return self.model(key)

    def whole(self, model: Any, frozen: Mapping[str, Any] | None = None) -> Denoiser:
        base = (frozen or self.frozen)["base"]
        return dataclasses.replace(base, network=adapted(base.network, model))

    def trained(self, whole: NetworkDenoiser) -> Any:
        return whole.network.adapters[-1]  # type: ignore[attr-defined]
