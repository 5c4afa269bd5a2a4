"""DDPM on CelebA-HQ 256 x 256."""

from configs.default import ancestral, ddpm_256, discrete, large, vp


def get_config():
    return ancestral(discrete(vp(ddpm_256(large("celebahq")))))
