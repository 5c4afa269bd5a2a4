"""Pictures of one shape from a caption, "a small red circle at the top left"; a fifth of the combinations is never seen.

python main.py --config=configs/conditional/shapes.py --workdir=runs/shapes          ten minutes on two CPU cores
"""

from ml_collections import ConfigDict

from configs import quickstart


def get_config():
    config = quickstart.get_config()
    config.data = ConfigDict({"name": "shapes"})
    config.batches.update(batch_size=32, flip=False)
    config.conditions = ConfigDict(
        {"text": {"key": "caption", "text": {"name": "words", "length": 12}, "dropout": 0.1}}
    )
    config.network.update(nf=24, ch_mult=(1, 1, 2), num_res_blocks=1, attn_resolutions=(8,), text_width=64)
    config.optim.update(lr=2e-3, warmup=200)
    config.training.update(steps=3000, evaluate_every=300, checkpoint_every=300, snapshot_every=600)
    config.measures = ConfigDict({"agreement": {"judge": "score_sde.data.sources.shapes:agrees", "first": 128}})
    config.guidance = ConfigDict({"name": "classifier_free", "scale": 1.5})
    config.evaluation.update(batch_size=128, samples=512)
    return config
