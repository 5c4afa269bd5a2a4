"""Experiments: the parts that a config describes; training, evaluation and sampling; the folder of a run."""

from score_sde.experiment.card import Card, Figure
from score_sde.experiment.edit import edit
from score_sde.experiment.evaluate import evaluate, sample
from score_sde.experiment.experiment import Experiment
from score_sde.experiment.loading import experiment_of, load, pretrained, save
from score_sde.experiment.packed import pack
from score_sde.experiment.restore import restore
from score_sde.experiment.run import Run
from score_sde.experiment.train import train
from score_sde.experiment.workdir import read_config

__all__ = [
    "Card",
    "Experiment",
    "Figure",
    "Run",
    "edit",
    "evaluate",
    "experiment_of",
    "load",
    "pack",
    "pretrained",
    "read_config",
    "restore",
    "sample",
    "save",
    "train",
]
