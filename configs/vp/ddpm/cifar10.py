"""DDPM: FID 3.24."""

from configs.default import cifar10, ddpm, discrete, vp


def get_config():
    config = discrete(vp(ddpm(cifar10())))
    config.sampling.predictor = "ancestral_sampling"
    return config
