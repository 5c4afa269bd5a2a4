"""NCSN++ on FFHQ 256 x 256, VE SDE."""

from configs.default import ffhq, ncsnpp_256, ve


def get_config():
    config = ve(ncsnpp_256(ffhq()))
    config.sde.sigma_max = 348.0
    return config
