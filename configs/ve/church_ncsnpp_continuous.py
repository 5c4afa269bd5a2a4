"""NCSN++ on LSUN churches 256 x 256, VE SDE."""

from configs.default import lsun, ncsnpp_256, ve


def get_config():
    config = ve(ncsnpp_256(lsun("church_outdoor")))
    config.sde.sigma_max = 380.0
    return config
