"""A classifier of almost clean Fashion-MNIST, to judge samples by; never the classifier that guides them."""

from ml_collections import ConfigDict

from configs import fashion_mnist_classifier


def get_config():
    config = fashion_mnist_classifier.get_config()
    config.seed = 43
    config.task.times = ConfigDict({"name": "log_normal", "mean": -4.0, "std": 0.5})
    config.training.update(steps=4000, snapshot_every=4000)
    return config
