"""The quickstart's digits, each class on demand: labels in training, a tenth of them dropped, guidance in sampling."""

from ml_collections import ConfigDict

from configs import quickstart


def get_config():
    config = quickstart.get_config()
    config.conditions = ConfigDict({"label": {"dropout": 0.1}})
    config.guidance = ConfigDict({"name": "classifier_free", "scale": 2.0})
    return config
