"""The quickstart's digits, each class on demand: labels in training, a tenth of them dropped, guidance in sampling."""

from configs import quickstart


def get_config():
    config = quickstart.get_config()
    config.model.num_classes = 10
    config.training.label_dropout = 0.1
    config.sampling.guidance = 2.0
    return config
