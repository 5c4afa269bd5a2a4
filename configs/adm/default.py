"""What the experiments of iDDPM and ADM share: the chain, both outputs of the network, the hybrid loss."""

from ml_collections import ConfigDict


def guided(size: int, *, cosine: bool, scales: int = 1000, batch: int = 128, steps: int = 500_000) -> ConfigDict:
    """Images in [-1, 1], a learned variance, sampling with it on 250 levels of the chain."""
    sde = {"name": "cosine_chain"} if cosine else {"name": "vp", "beta_min": 0.1, "beta_max": 20.0}
    return ConfigDict(
        {
            "example": {"shape": (size, size, 3), "levels": 256},
            "batches": {"batch_size": batch, "flip": False},
            "scaling": {"centered": True, "dequantize": False},
            "sde": {**sde, "num_scales": scales},
            "denoiser": {"predicts": "noise", "noise_level": "rescaled_label", "beside": ("variance",)},
            "loss": {"name": "hybrid"},
            "optim": {"lr": 1e-4, "warmup": 0, "clip": None, "rule": {"name": "adamw", "weight_decay": 0.0}},
            "averages": {"ema": {"rate": 0.9999, "warmup": False}},
            "training": {"steps": steps, "snapshot_every": 50_000},
            "sampler": {
                "name": "predictor_corrector",
                "steps": 249,
                "predictor": {"name": "learned_variance", "clip": 1.0},
                "time_grid": {"name": "respaced"},
            },
            "evaluation": {"batch_size": 256, "samples": 50_000},
        }
    )


def iddpm(config: ConfigDict, ch_mult: tuple[int, ...], dropout: float) -> ConfigDict:
    """The U-Net of iDDPM: four heads, layers that change the resolution."""
    config.network = ConfigDict(
        {
            "name": "adm",
            "nf": 128,
            "ch_mult": ch_mult,
            "num_res_blocks": 3,
            "attn_resolutions": (16, 8),
            "attention_heads": 4,
            "head_channels": None,
            "resample_in_blocks": False,
            "dropout": dropout,
            "out_channels": 6,
        }
    )
    return config


def adm(
    config: ConfigDict, nf: int, ch_mult: tuple[int, ...], num_res_blocks: int = 2, dropout: float = 0.0
) -> ConfigDict:
    """The U-Net of ADM: heads of 64 channels at 32, 16 and 8 pixels, blocks that change the resolution."""
    config.network = ConfigDict(
        {
            "name": "adm",
            "nf": nf,
            "ch_mult": ch_mult,
            "num_res_blocks": num_res_blocks,
            "attn_resolutions": (32, 16, 8),
            "head_channels": 64,
            "dropout": dropout,
            "out_channels": 6,
        }
    )
    return config


def by_class(config: ConfigDict) -> ConfigDict:
    """Told the class, always."""
    config.conditions = ConfigDict({"label": {"dropout": 0.0}})
    config.network.no_class = False
    config.example.classes = 1000
    return config
