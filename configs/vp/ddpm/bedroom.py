"""DDPM on LSUN bedrooms 256 x 256."""

from configs.default import ddpm_256, discrete, lsun, vp


def get_config():
    config = discrete(vp(ddpm_256(lsun("bedroom"))))
    config.sampling.predictor = "ancestral_sampling"
    return config
