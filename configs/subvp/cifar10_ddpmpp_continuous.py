"""DDPM++, sub-VP SDE: FID 2.61, 3.02 bits/dim."""

from configs.default import cifar10, ddpmpp, subvp


def get_config():
    return subvp(ddpmpp(cifar10()))
