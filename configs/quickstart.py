"""The embedded digits, a small NCSN++ and the VP SDE: three minutes on two CPU cores.

Batch, weighting and noise levels are those that learned best in equal time (experiments/recipes).
"""

from ml_collections import ConfigDict


def get_config():
    return ConfigDict(
        {
            "seed": 42,
            "data": {"name": "digits"},
            "batches": {"batch_size": 32},
            "scaling": {"centered": True, "dequantize": True},
            "sde": {"name": "vp"},
            "network": {
                "name": "ncsnpp",
                "nf": 24,
                "ch_mult": (1, 2),
                "num_res_blocks": 1,
                "attn_resolutions": (4,),
                "dropout": 0.0,
                "fir": False,
                "progressive_input": "none",
                "embedding_type": "fourier_raw",
                "fourier_scale": 1.0,
            },
            "denoiser": {"predicts": "edm", "sigma_data": 0.75},
            "loss": {
                "weighting": {"name": "edm", "sigma_data": 0.75, "mean": -0.8, "std": 1.1},
                "times": {"name": "stratified", "times": {"name": "log_normal", "mean": -0.8, "std": 1.1}},
            },
            "optim": {"lr": 4e-3, "warmup": 100, "decay": "cosine", "clip": 1.0},
            "averages": {"ema": {"rate": 0.9995}},
            "training": {
                "steps": 8000,
                "steps_per_call": 10,
                "log_every": 50,
                "evaluate_every": 500,
                "checkpoint_every": 1000,
                "snapshot_every": 8000,
            },
            "sampler": {"name": "dpm_solver", "steps": 20},
            "evaluation": {"batch_size": 512, "samples": 500},
        }
    )
