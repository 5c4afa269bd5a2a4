"""DDPM++ deep, VP SDE: FID 2.41, 3.13 bits/dim."""

from configs.default import cifar10, ddpmpp, deep, vp


def get_config():
    return deep(vp(ddpmpp(cifar10())))
