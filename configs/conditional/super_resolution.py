"""Fashion-MNIST from pictures of 7 x 7: super-resolution by concatenation (SR3, Saharia et al. 2021).

apt-get install dataset-fashion-mnist
python main.py --config=configs/conditional/super_resolution.py --workdir=runs/super_resolution
"""

from ml_collections import ConfigDict

from configs import fashion_mnist


def get_config():
    config = fashion_mnist.get_config()
    config.conditions = ConfigDict(
        {"low_resolution": {"made": {"name": "low_resolution", "factor": 4}, "null": 0.0, "dropout": 0.0}}
    )
    network = {"name": "ncsnpp", **config.network.to_dict()}
    config.network = ConfigDict({"name": "concatenation", "network": network, "leaves": {"low_resolution": 1}})
    config.training.update(steps=6000, evaluate_every=600, snapshot_every=2000)
    config.measures = ConfigDict({"agreement": {"judge": "score_sde.control.low_resolution:agrees", "first": 64}})
    return config
