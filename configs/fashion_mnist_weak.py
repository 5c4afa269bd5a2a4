"""A smaller network of Fashion-MNIST, trained less: the weak model of autoguidance (Karras et al. 2024)."""

from configs import fashion_mnist


def get_config():
    config = fashion_mnist.get_config()
    config.network.nf = 16
    config.training.update(steps=3000, evaluate_every=500, snapshot_every=3000)
    return config
