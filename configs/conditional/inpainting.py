"""Photo patches of which a part is hidden: inpainting and outpainting by concatenation, as Stable Diffusion's.

apt-get install endless-sky-high-dpi lomiri-wallpapers-16.04
python main.py --config=configs/conditional/inpainting.py --workdir=runs/inpainting
score_sde edit --workdir=runs/inpainting --images=photo.png --mask=box:16
"""

from ml_collections import ConfigDict

from configs import photo_patches


def get_config():
    config = photo_patches.get_config()
    config.conditions = ConfigDict({"rest": {"made": {"name": "hidden"}, "null": 0.0, "dropout": 0.1}})
    network = {"name": "ncsnpp", **config.network.to_dict()}
    config.network = ConfigDict({"name": "concatenation", "network": network, "leaves": {"rest": 4}})
    return config
