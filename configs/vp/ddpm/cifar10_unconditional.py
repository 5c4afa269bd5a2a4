"""DDPM whose network is not told the noise level."""

from configs.default import ancestral, cifar10, ddpm, discrete, vp


def get_config():
    config = ancestral(discrete(vp(ddpm(cifar10()))))
    config.network.conditional = False
    return config
