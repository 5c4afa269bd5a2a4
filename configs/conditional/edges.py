"""Fashion-MNIST from its edges: a ControlNet (Zhang et al. 2023) of the box's ``fashion_mnist``, whose weights stay.

apt-get install dataset-fashion-mnist
python main.py --config=configs/conditional/edges.py --workdir=runs/edges          half an hour on one CPU core
"""

from ml_collections import ConfigDict

from configs import fashion_mnist


def get_config():
    config = fashion_mnist.get_config()
    config.task = ConfigDict({"name": "adaptation", "base": {"run": "fashion_mnist"}})
    config.network = ConfigDict({"name": "control_net", "control_channels": 1})
    config.conditions.control = ConfigDict({"made": {"name": "edges"}, "null": 0.0, "dropout": 0.0})
    config.optim.update(lr=1e-3, warmup=200)
    config.training.update(steps=2000, evaluate_every=200, checkpoint_every=200, snapshot_every=500)
    config.measures = ConfigDict({"agreement": {"judge": "score_sde.control.edges:agrees", "first": 64}})
    return config
