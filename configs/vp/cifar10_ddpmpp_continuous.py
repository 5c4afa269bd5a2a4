"""DDPM++, VP SDE: FID 2.55, 3.16 bits/dim."""

from configs.default import cifar10, ddpmpp, vp


def get_config():
    return vp(ddpmpp(cifar10()))
