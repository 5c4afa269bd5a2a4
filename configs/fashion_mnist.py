"""Fashion-MNIST, 28 x 28, by class or without: a small U-Net for an hour on two CPU cores (``ss.pretrained``).

apt-get install dataset-fashion-mnist
python main.py --config=configs/fashion_mnist.py --workdir=runs/fashion_mnist
"""

from ml_collections import ConfigDict

from configs import quickstart


def get_config():
    config = quickstart.get_config()
    config.data = ConfigDict({"name": "fashion_mnist"})
    config.batches.update(batch_size=32, flip=False)  # mirrored shoes are not in the data
    config.conditions = ConfigDict({"label": {"dropout": 0.2}})  # without a label: the unconditional model
    config.network.update(nf=24, ch_mult=(1, 2, 2), num_res_blocks=1, attn_resolutions=(7,))
    config.optim.update(lr=2e-3, warmup=500)
    config.training.update(
        steps=18000, steps_per_call=10, evaluate_every=1800, checkpoint_every=600, snapshot_every=18000
    )
    config.evaluation.update(batch_size=100, samples=5000)
    return config
