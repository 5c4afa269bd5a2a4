"""Fashion-MNIST by class in one or two evaluations: a student of the box's ``fashion_mnist``.

apt-get install dataset-fashion-mnist
python main.py --config=configs/few_step/fashion_mnist.py --workdir=runs/fashion_mnist_fast
"""

from ml_collections import ConfigDict

from configs import fashion_mnist
from configs.few_step import digits


def get_config():
    config, small = fashion_mnist.get_config(), digits.get_config()
    config.task = ConfigDict({"name": "distillation", "teacher": {"run": "fashion_mnist"}})
    config.denoiser.name = "network_flow_map"
    config.network.second_level = True
    config.loss, config.optim, config.sampler = small.loss, small.optim, small.sampler
    config.training.update(steps=4000, snapshot_every=4000)
    return config
