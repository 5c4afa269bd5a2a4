"""DDPM++, VP SDE, discrete levels: FID 2.78."""

from configs.default import ancestral, cifar10, ddpmpp, discrete, vp


def get_config():
    return ancestral(discrete(vp(ddpmpp(cifar10()))))
