"""NCSN++ on CelebA 64 x 64, VE SDE, discrete levels."""

from configs.default import celeba, discrete, ncsnpp, ve


def get_config():
    return discrete(ve(ncsnpp(celeba())))
