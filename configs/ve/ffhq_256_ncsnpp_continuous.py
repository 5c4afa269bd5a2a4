"""NCSN++ on FFHQ 256 x 256, VE SDE."""

from configs.default import large, ncsnpp_256, ve


def get_config():
    config = ve(ncsnpp_256(large("FFHQ")))
    config.model.sigma_max = 348.0
    return config
