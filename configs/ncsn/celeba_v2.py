"""NCSNv2 on CelebA 64 x 64, published: FID 10.23."""

from configs.default import celeba, ncsnv2, refinenet


def get_config():
    return ncsnv2(refinenet(celeba(), "ncsnv2_64"), levels=500, sigma_max=90.0, snr=0.128)
