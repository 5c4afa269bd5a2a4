"""Straight paths from data to noise."""

import dataclasses

from score_sde.checks import Times, require
from score_sde.sde.base import SDE, of_time


@dataclasses.dataclass(frozen=True)
class FlowMatching(SDE):
    """Straight paths (Lipman et al. 2023; Liu et al. 2023): α = 1 − t, σ = t.

    α(1) = 0: f, g and λ are infinite at t = 1, so samplers begin at ``t_max_sampling`` (λ ≈ −14); α, σ and their
    derivatives are finite up to and including t = 1.
    """

    _: dataclasses.KW_ONLY
    t_max_sampling: float = 0.999

    def __post_init__(self):
        super().__post_init__()
        require(self.t_max <= 1, f"t_max = {self.t_max}; the path ends at t = 1, so t_max <= 1")

    @of_time
    def alpha(self, t: Times) -> Times:
        return 1 - t

    @of_time
    def sigma(self, t: Times) -> Times:
        return t
