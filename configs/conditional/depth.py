"""Photo patches from a smooth map of one channel in the place of their depth, by concatenation, as depth2img.

apt-get install endless-sky-high-dpi lomiri-wallpapers-16.04
python main.py --config=configs/conditional/depth.py --workdir=runs/depth
"""

from ml_collections import ConfigDict

from configs import photo_patches


def get_config():
    config = photo_patches.get_config()
    config.conditions = ConfigDict({"depth": {"made": {"name": "relief"}, "null": 0.0, "dropout": 0.1}})
    network = {"name": "ncsnpp", **config.network.to_dict()}
    config.network = ConfigDict({"name": "concatenation", "network": network, "leaves": {"depth": 1}})
    return config
