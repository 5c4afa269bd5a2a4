"""Training: tasks, the training step, its parallelism, averages of parameters, and the training loop."""

from score_sde.randomness import example_keys
from score_sde.training.averages import constant, power
from score_sde.training.parallel import FSDP, Parallel
from score_sde.training.state import TrainState
from score_sde.training.step import make_train_step
from score_sde.training.task import Context, Task

__all__ = ["FSDP", "Context", "Parallel", "Task", "TrainState", "constant", "example_keys", "make_train_step", "power"]
