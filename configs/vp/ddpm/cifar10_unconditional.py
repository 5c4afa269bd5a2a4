"""DDPM whose network is not told the noise level."""

from configs.default import cifar10, ddpm, discrete, vp


def get_config():
    config = discrete(vp(ddpm(cifar10())))
    config.sampling.predictor = "ancestral_sampling"
    config.model.conditional = False
    return config
