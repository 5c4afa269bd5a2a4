"""DDPM on LSUN bedrooms 256 x 256."""

from configs.default import ancestral, ddpm_256, discrete, lsun, vp


def get_config():
    return ancestral(discrete(vp(ddpm_256(lsun("bedroom")))))
