"""NCSN++, VP SDE."""

from configs.default import cifar10, ncsnpp, vp


def get_config():
    return vp(ncsnpp(cifar10()))
