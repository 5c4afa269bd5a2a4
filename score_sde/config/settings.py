"""Settings that belong to no other module: the examples, the logging and the evaluation."""

import dataclasses
from collections.abc import Sequence
from typing import Literal

from score_sde.checks import require


@dataclasses.dataclass(frozen=True)
class Example:
    """The form of one example, by default taken from the data, with which it must agree.

    shape      (H, W, C) of images, (D,) of points
    levels     256 for bytes; None: continuous
    classes    the number of classes, None without labels
    words      the words of the captions, if a condition is told in words of the training data
    """

    shape: Sequence[int]
    levels: int | None = 256
    classes: int | None = None
    words: Sequence[str] = ()

    def __post_init__(self):
        require(
            len(self.shape) >= 1 and all(size >= 1 for size in self.shape),
            f"shape = {self.shape}; allowed: one positive number for each axis, such as (32, 32, 3)",
        )
        require(self.levels is None or 2 <= self.levels <= 256, f"levels = {self.levels}; allowed: 2 to 256, or None")
        require(self.classes is None or self.classes >= 1, f"classes = {self.classes}; allowed: 1 or more, or None")


@dataclasses.dataclass(frozen=True)
class Logging:
    """The outputs of training other than checkpoints.

    tensorboard    whether metrics also go to TensorBoard
    wandb          the name of a Weights & Biases project; None: not used
    preview        the number of samples drawn at each snapshot; 0: none
    hooks          (every, "my_package.module:function") pairs: function(state, run) is called every ``every`` steps
    """

    tensorboard: bool = True
    wandb: str | None = None
    preview: int = 64
    hooks: Sequence[tuple[int, str]] = ()

    def __post_init__(self):
        require(self.preview >= 0, f"preview = {self.preview}; allowed: 0 (none) or more samples")
        for every, path in self.hooks:
            require(every >= 1, f"hooks has every = {every} for {path!r}; allowed: 1 or more steps")


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The settings of --mode=eval and --mode=sample.

    steps          "newest", "all", "snapshots", or steps of the workdir
    weights        "ema" or another average, or "raw"
    split          the split of the data
    batch_size     over all devices
    samples        the number of samples to draw
    """

    steps: Literal["newest", "all", "snapshots"] | int | Sequence[int] = "newest"
    weights: str = "ema"
    split: str = "test"
    batch_size: int = 256
    samples: int = 1000

    def __post_init__(self):
        require(self.batch_size >= 1, f"batch_size = {self.batch_size}; allowed: 1 or more")
        require(self.samples >= 1, f"samples = {self.samples}; allowed: 1 or more")
