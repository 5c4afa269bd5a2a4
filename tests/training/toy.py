"""A config that trains in a second: points in the plane, a small MLP."""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    return ConfigDict(
        {
            "seed": 7,
            "data": {"name": "moons"},
            "batches": {"batch_size": 32},
            "sde": {"name": "vp", "num_scales": 100},
            "network": {"name": "mlp", "width": 16, "depth": 2},
            "denoiser": {"predicts": "noise"},
            "optim": {"lr": 1e-3, "warmup": 10},
            "training": {
                "steps": 60,
                "log_every": 10,
                "evaluate_every": 20,
                "checkpoint_every": 10,
                "snapshot_every": 30,
            },
            "logging": {"tensorboard": False, "preview": 16},
            "sampler": {"name": "ddim", "steps": 5},
            "evaluation": {"batch_size": 64, "samples": 8},
        }
    )
