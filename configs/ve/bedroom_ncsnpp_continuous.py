"""NCSN++ on LSUN bedrooms 256 x 256, VE SDE."""

from configs.default import lsun, ncsnpp_256, ve


def get_config():
    return ve(ncsnpp_256(lsun("bedroom")))
