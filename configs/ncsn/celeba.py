"""NCSN on CelebA 64 x 64, published: FID 25.3 with a last denoising, 26.9 without (Song & Ermon 2020, table 1)."""

from configs.default import celeba, ncsn, refinenet


def get_config():
    return ncsn(refinenet(celeba(), "ncsn"))
