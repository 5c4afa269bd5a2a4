"""DDPM on CelebA-HQ 256 x 256."""

from configs.default import ddpm_256, discrete, large, vp


def get_config():
    config = discrete(vp(ddpm_256(large("CelebAHQ"))))
    config.sampling.predictor = "ancestral_sampling"
    return config
