"""The embedded digits, a small NCSN++ and the VP SDE: less than four minutes on two CPU cores."""

from ml_collections import ConfigDict


def get_config():
    config = ConfigDict()
    config.seed = 42
    config.data = ConfigDict(
        {
            "dataset": "digits",
            "image_size": 8,
            "num_channels": 1,
            "centered": True,
            "random_flip": False,
            "uniform_dequantization": True,
        }
    )
    config.model = ConfigDict(
        {
            "name": "ncsnpp",
            "nf": 24,
            "ch_mult": (1, 2),
            "num_res_blocks": 1,
            "attn_resolutions": (4,),
            "resamp_with_conv": True,
            "conditional": True,
            "fir": False,
            "skip_rescale": True,
            "resblock_type": "biggan",
            "progressive": "none",
            "progressive_input": "none",
            "embedding_type": "fourier_raw",
            "fourier_scale": 1.0,
            "predicts": "edm",
            "sigma_data": 0.75,
            "init_scale": 0.0,
            "nonlinearity": "swish",
            "normalization": "GroupNorm",
            "scale_by_sigma": False,
            "dropout": 0.0,
            "beta_min": 0.1,
            "beta_max": 20.0,
            "num_scales": 1000,
            "ema_rate": 0.998,
        }
    )
    config.training = ConfigDict(
        {
            "sde": "vpsde",
            "n_iters": 3500,
            "batch_size": 64,
            "log_freq": 50,
            "eval_freq": 250,
            "snapshot_freq": 3500,
            "snapshot_freq_for_preemption": 500,
            "steps_per_call": 10,
            "weighting": "edm",
            "times": "log_normal",
            "stratified": True,
        }
    )
    config.optim = ConfigDict({"lr": 4e-3, "warmup": 100, "decay": "cosine", "grad_clip": 1.0})
    config.sampling = ConfigDict({"scheme": "even", "method": "dpm_solver", "options": {"steps": 20}})
    config.eval = ConfigDict({"batch_size": 512, "num_samples": 500})
    return config
