"""Photo patches from degraded ones of a quarter of the size: blur, noise, compression (Real-ESRGAN, Wang et al. 2021), with
noise that the network is told. ``--config.conditions.low_resolution.made.mild=False`` has the paper's full strength.

apt-get install endless-sky-high-dpi lomiri-wallpapers-16.04
python main.py --config=configs/conditional/blind_super_resolution.py --workdir=runs/blind
"""

from ml_collections import ConfigDict

from configs import photo_patches

NOISE = (0.0, 0.4)


def get_config():
    config = photo_patches.get_config()
    degraded = {"name": "degraded", "factor": 4, "mild": True, "noise": NOISE}
    config.conditions = ConfigDict(
        {
            "low_resolution": {"made": degraded, "null": 0.0, "dropout": 0.0},
            "augmentation": {"made": {"name": "noise_level", "noise": NOISE}, "null": 0.0, "dropout": 0.0},
        }
    )
    network = {"name": "ncsnpp", **config.network.to_dict(), "numbers": ["augmentation"]}
    config.network = ConfigDict({"name": "concatenation", "network": network, "leaves": {"low_resolution": 3}})
    return config
