"""NCSN++, VP SDE, discrete levels."""

from ml_collections import ConfigDict

from configs.default import cifar10, discrete, ncsnpp, vp


def get_config():
    config = discrete(vp(ncsnpp(cifar10())))
    config.sampler.predictor = ConfigDict({"name": "reverse_diffusion"})
    return config
