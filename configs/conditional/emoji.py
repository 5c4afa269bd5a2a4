"""Emoji of people from their names, "person running, dark skin tone"; one tone of a third of the bases is never seen.

apt-get install fonts-noto-color-emoji && pip install emoji
python main.py --config=configs/conditional/emoji.py --workdir=runs/emoji          an hour on two CPU cores
"""

from ml_collections import ConfigDict

from configs.conditional import shapes


def get_config():
    config = shapes.get_config()
    config.data = ConfigDict({"name": "emoji"})
    config.conditions.text.text.length = 14
    config.network.update(nf=24, ch_mult=(1, 2, 2), attn_resolutions=(8,), text_width=128)
    config.training.update(steps=9000, evaluate_every=1000, checkpoint_every=500, snapshot_every=3000)
    config.measures.agreement.update(judge="score_sde.data.sources.emoji:agrees", first=109)
    return config
