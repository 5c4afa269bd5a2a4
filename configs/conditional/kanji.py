"""Kanji in two type faces from a caption, "gothic" or "mincho": the base of ``identity.py``.

apt-get install fonts-ipafont-gothic fonts-ipafont-mincho
python main.py --config=configs/conditional/kanji.py --workdir=runs/kanji
"""

from ml_collections import ConfigDict

from configs.conditional import shapes


def get_config():
    config = shapes.get_config()
    config.data = ConfigDict({"name": "kanji"})
    config.conditions.text.text.length = 2
    config.network.update(nf=24, ch_mult=(1, 2, 2), attn_resolutions=(16, 8))
    config.training.update(steps=6000, evaluate_every=600, checkpoint_every=300, snapshot_every=2000)
    config.measures = ConfigDict()
    config.guidance = None
    return config
