"""NCSN++ on CelebA-HQ 256 x 256, VE SDE."""

from configs.default import large, ncsnpp_256, ve


def get_config():
    config = ve(ncsnpp_256(large("celebahq")))
    config.sde.sigma_max = 348.0
    return config
