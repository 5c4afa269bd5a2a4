"""A classifier of almost clean digits, to judge samples by; never the classifier that guides them.

python main.py --config=configs/digits_judge.py --workdir=runs/digits_judge
"""

from ml_collections import ConfigDict

from configs import digits_classifier


def get_config():
    config = digits_classifier.get_config()
    config.seed = 43
    config.task.times = ConfigDict(
        {"name": "log_normal", "mean": -4.0, "std": 0.5}
    )  # noise of 1/50 of the data's range
    config.training.steps = config.training.snapshot_every = 1000
    return config
