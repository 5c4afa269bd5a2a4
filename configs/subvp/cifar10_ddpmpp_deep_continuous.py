"""DDPM++ deep, sub-VP SDE: FID 2.41, 2.99 bits/dim, the best likelihood of the paper."""

from configs.default import cifar10, ddpmpp, deep, subvp


def get_config():
    return deep(subvp(ddpmpp(cifar10())))
