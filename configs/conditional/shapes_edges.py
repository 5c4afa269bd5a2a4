"""Shapes from a caption and their edges: a ControlNet (Zhang et al. 2023) of the box's ``shapes``, whose weights stay.

python main.py --config=configs/conditional/shapes_edges.py --workdir=runs/shapes_edges
"""

from ml_collections import ConfigDict

from configs.conditional import shapes


def get_config():
    config = shapes.get_config()
    config.task = ConfigDict({"name": "adaptation", "base": {"run": "shapes"}})
    config.network = ConfigDict({"name": "control_net", "control_channels": 1})
    config.conditions.text.dropout = 0.3  # so that edges are read where the caption is silent
    config.conditions.control = ConfigDict({"made": {"name": "edges"}, "null": 0.0, "dropout": 0.0})
    config.optim.update(lr=1e-3, warmup=100)
    config.training.update(steps=1500, evaluate_every=150, checkpoint_every=150, snapshot_every=500)
    config.measures = ConfigDict({"agreement": {"judge": "score_sde.control.edges:agrees", "first": 64}})
    config.guidance = None
    return config
