"""NCSN++ deep, VP SDE."""

from configs.default import cifar10, deep, ncsnpp, vp


def get_config():
    return deep(vp(ncsnpp(cifar10())))
