"""DDPM++, VP SDE, discrete levels: FID 2.78."""

from configs.default import cifar10, ddpmpp, discrete, vp


def get_config():
    config = discrete(vp(ddpmpp(cifar10())))
    config.sampling.predictor = "ancestral_sampling"
    return config
