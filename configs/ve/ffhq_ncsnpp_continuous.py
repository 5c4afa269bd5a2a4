"""NCSN++ on FFHQ 1024 x 1024, VE SDE."""

from configs.default import ffhq, ncsnpp_1024, ve


def get_config():
    config = ve(ncsnpp_1024(ffhq()))
    config.averages.ema.rate = 0.9999
    config.loss.reduce = "mean"
    return config
