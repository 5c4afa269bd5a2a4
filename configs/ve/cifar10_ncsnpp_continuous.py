"""NCSN++, VE SDE: FID 2.38."""

from configs.default import cifar10, ncsnpp, ve


def get_config():
    return ve(ncsnpp(cifar10()))
