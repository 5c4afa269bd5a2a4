"""A classifier of the quickstart's digits at every noise level, which guides a model of them to a class:

python main.py --config=configs/digits_classifier.py --workdir=runs/digits_classifier
"""

from ml_collections import ConfigDict

from configs import quickstart


def get_config():
    config = quickstart.get_config()
    config.batches.batch_size = 64
    config.task = ConfigDict({"name": "classifier", "times": {"name": "log_normal"}})
    config.network = ConfigDict({"name": "classifier", "nf": 24, "ch_mult": (1, 2), "num_res_blocks": 1})
    config.network.attn_resolutions = (4,)
    config.denoiser = ConfigDict({"name": "noisy_classifier", "sigma_data": 0.75})
    config.loss = ConfigDict()
    config.optim = ConfigDict({"lr": 1e-3, "warmup": 100, "decay": "cosine"})
    config.training.steps = config.training.snapshot_every = 1500
    return config
