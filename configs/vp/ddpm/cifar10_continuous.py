"""The network of DDPM, VP SDE: 3.21 bits/dim."""

from configs.default import cifar10, ddpm, vp


def get_config():
    return vp(ddpm(cifar10()))
