"""A classifier of Fashion-MNIST at every noise level, which guides a model to a class."""

from ml_collections import ConfigDict

from configs import digits_classifier, fashion_mnist


def get_config():
    config = fashion_mnist.get_config()
    small = digits_classifier.get_config()
    config.task, config.denoiser, config.loss, config.optim = small.task, small.denoiser, small.loss, small.optim
    config.conditions = ConfigDict()
    config.network = ConfigDict(
        {"name": "classifier", "nf": 24, "ch_mult": (1, 2, 2), "num_res_blocks": 1, "attn_resolutions": (7,)}
    )
    config.batches.batch_size = 64
    config.training.update(steps=2500, checkpoint_every=500, evaluate_every=500, snapshot_every=2500)
    return config
