"""The network of DDPM, sub-VP SDE: 3.05 bits/dim."""

from configs.default import cifar10, ddpm, subvp


def get_config():
    return subvp(ddpm(cifar10()))
