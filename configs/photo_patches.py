"""Colour patches of photographs, 32 x 32: a prior for inverse problems (``ss.pretrained``).

apt-get install endless-sky-high-dpi lomiri-wallpapers-16.04
python main.py --config=configs/photo_patches.py --workdir=runs/photo_patches
"""

from ml_collections import ConfigDict

from configs import fashion_mnist


def get_config():
    config = fashion_mnist.get_config()
    config.data = ConfigDict({"name": "photo_patches"})
    config.batches.flip = True
    config.conditions = ConfigDict()
    config.network.update(attn_resolutions=(8,))
    config.training.update(steps=10_000, evaluate_every=1000, snapshot_every=10_000)
    return config
