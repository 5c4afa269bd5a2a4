"""What happens to photographs on their way: blur, resizing, noise and compression, twice (Real-ESRGAN, Wang et al. 2021)."""

from score_sde.control.degradation.degraded import Degraded
from score_sde.control.degradation.passes import MILD, ONCE, TWICE, Pass

__all__ = ["MILD", "ONCE", "TWICE", "Degraded", "Pass"]
