"""NCSN++ deep, sub-VP SDE."""

from configs.default import cifar10, deep, ncsnpp, subvp


def get_config():
    return deep(subvp(ncsnpp(cifar10())))
