"""NCSN++, sub-VP SDE."""

from configs.default import cifar10, ncsnpp, subvp


def get_config():
    return subvp(ncsnpp(cifar10()))
