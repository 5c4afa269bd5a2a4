"""A kanji in mincho whose only picture is in gothic: identity from one picture, as InstantID (Wang et al. 2024).

python main.py --config=configs/conditional/kanji.py --workdir=runs/kanji                  first its base
python main.py --config=configs/conditional/identity.py --workdir=runs/identity
"""

from ml_collections import ConfigDict

from configs.conditional import kanji


def get_config():
    config = kanji.get_config()
    config.data.faces = "mincho"
    config.task = ConfigDict({"name": "adaptation", "base": {"run": "runs/kanji"}})
    config.network = ConfigDict({"name": "identity", "features": 192, "tokens": 16, "depth": 2})
    config.conditions.identity = ConfigDict({"null": 0.0, "dropout": 0.1})
    config.conditions.keypoints = ConfigDict({"null": 0.0, "dropout": 0.1, "spatial": True})
    config.optim.update(lr=1e-3, warmup=200)
    config.training.update(steps=4000, evaluate_every=400, checkpoint_every=200, snapshot_every=1000)
    config.measures = ConfigDict({"agreement": {"judge": "score_sde.data.sources.kanji:agrees", "first": 128}})
    return config
