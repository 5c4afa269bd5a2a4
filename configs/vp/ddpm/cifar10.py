"""DDPM: FID 3.24."""

from configs.default import ancestral, cifar10, ddpm, discrete, vp


def get_config():
    return ancestral(discrete(vp(ddpm(cifar10()))))
