"""Images that tell a network what to draw, made from the picture itself: its edges, a part of it, a low resolution of it.

Each is a ``Control``, a function (key, picture) -> image of one example, and the ``made`` of a condition's leaf:

    Leaf(made=Edges((28, 28, 1)), null=0.0)
"""

from score_sde.control.base import Control
from score_sde.control.degradation import Degraded
from score_sde.control.edges import Edges
from score_sde.control.hidden import Hidden
from score_sde.control.low_resolution import LowResolution, NoiseLevel
from score_sde.control.relief import Relief

__all__ = ["Control", "Degraded", "Edges", "Hidden", "LowResolution", "NoiseLevel", "Relief"]
