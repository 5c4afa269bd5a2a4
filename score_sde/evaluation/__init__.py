"""What a finished run is worth: loss on held-out data, bits per dimension, samples. Behind --mode=eval and =sample."""

from score_sde.evaluation.commands import evaluate, sample

__all__ = ["evaluate", "sample"]
