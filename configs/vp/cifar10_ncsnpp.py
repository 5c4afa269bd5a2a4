"""NCSN++, VP SDE, discrete levels."""

from configs.default import cifar10, discrete, ncsnpp, vp


def get_config():
    config = discrete(vp(ncsnpp(cifar10())))
    config.sampling.predictor = "reverse_diffusion"
    return config
