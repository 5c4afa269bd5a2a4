"""NCSN++ deep, VE SDE: FID 2.20, the best of the paper."""

from configs.default import cifar10, deep, ncsnpp, ve


def get_config():
    return deep(ve(ncsnpp(cifar10())))
