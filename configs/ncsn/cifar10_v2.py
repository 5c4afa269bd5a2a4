"""NCSNv2 (Song & Ermon 2020) on CIFAR-10, published: FID 10.87, Inception score 8.40."""

from configs.default import cifar10, ncsnv2, refinenet


def get_config():
    return ncsnv2(refinenet(cifar10(), "ncsnv2_64"), levels=232, sigma_max=50.0, snr=0.176)
