"""The network of DDPM under the VE SDE, discrete levels."""

from configs.default import cifar10, ddpm, discrete, ve


def get_config():
    return discrete(ve(ddpm(cifar10())))
