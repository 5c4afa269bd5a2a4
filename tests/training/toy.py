"""A config that trains in a second: points in the plane, a small MLP."""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    return ConfigDict(
        {
            "seed": 7,
            "data": {"dataset": "moons", "shape": 2, "centered": True},
            "model": {"name": "mlp", "width": 16, "depth": 2, "num_scales": 100, "beta_min": 0.1, "beta_max": 20.0},
            "training": {
                "sde": "vpsde",
                "n_iters": 60,
                "batch_size": 32,
                "log_freq": 10,
                "eval_freq": 20,
                "snapshot_freq": 30,
                "snapshot_freq_for_preemption": 10,
                "snapshot_samples": 16,
                "tensorboard": False,
            },
            "optim": {"warmup": 10, "lr": 1e-3},
            "sampling": {"scheme": "even", "method": "ddim", "options": {"steps": 5}},
            "eval": {"batch_size": 64, "num_samples": 8},
        }
    )
