"""A smaller network of the quickstart's digits, trained less: the weak model of autoguidance (Karras et al. 2024)."""

from configs import quickstart


def get_config():
    config = quickstart.get_config()
    config.network.nf = 16
    config.training.steps = config.training.snapshot_every = 1000
    return config
