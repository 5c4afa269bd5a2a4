"""NCSN++ on CelebA-HQ 1024 x 1024, VE SDE."""

from configs.default import large, ncsnpp_1024, ve


def get_config():
    config = ve(ncsnpp_1024(large("celebahq")))
    config.averages.ema.rate = 0.9999
    return config
