"""Training: one step, how it lies over devices, averages of parameters, checkpoints, and the loop around it all.

``make_train_step`` and ``TrainState`` need no config; ``train`` is what main.py runs.
"""

from score_sde.randomness import example_keys
from score_sde.training.averages import constant, power
from score_sde.training.parallel import FSDP, Parallel
from score_sde.training.state import TrainState
from score_sde.training.step import make_train_step

__all__ = ["FSDP", "Parallel", "TrainState", "constant", "example_keys", "make_train_step", "power"]
