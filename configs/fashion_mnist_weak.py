"""A smaller network of Fashion-MNIST, trained less: the weak model of autoguidance (Karras et al. 2024)."""

from configs import fashion_mnist


def get_config():
    config = fashion_mnist.get_config()
    config.network.nf = 16
    config.training.update(steps=2000, snapshot_every=2000)
    return config
