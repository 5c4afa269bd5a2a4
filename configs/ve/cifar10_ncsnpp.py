"""NCSN++, VE SDE, discrete levels (SMLD): FID 2.45."""

from configs.default import cifar10, discrete, ncsnpp, ve


def get_config():
    return discrete(ve(ncsnpp(cifar10())))
