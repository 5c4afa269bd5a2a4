"""Any folder or zip file of images: python main.py --config=configs/images.py --config.data.path=FOLDER --workdir=runs/mine

``--config.data.size`` is the one choice: images are cropped to their largest central square and brought to this size.
Channels, levels and the depth of the network follow from the data, and every tenth image is held out.
"""

from ml_collections import ConfigDict


def get_config():
    return ConfigDict(
        {
            "data": {"name": "images", "path": "", "size": 32},
            "batches": {"batch_size": 32},
            "scaling": {"centered": True, "dequantize": True},
            "sde": {"name": "vp"},
            "network": {
                "name": "ncsnpp",
                "nf": 32,
                "num_res_blocks": 1,
                "dropout": 0.1,
                "fir": False,
                "progressive_input": "none",
                "embedding_type": "fourier_raw",
                "fourier_scale": 1.0,
            },
            "denoiser": {"predicts": "edm"},
            "loss": {
                "weighting": {"name": "edm"},
                "times": {"name": "stratified", "times": {"name": "log_normal"}},
            },
            "optim": {"lr": 1e-3, "warmup": 500, "decay": "cosine"},
            "averages": {"ema": {"rate": 0.999}},
            "training": {
                "steps": 50_000,
                "log_every": 50,
                "evaluate_every": 500,
                "checkpoint_every": 1_000,
                "snapshot_every": 5_000,
            },
            "sampler": {"name": "dpm_solver", "steps": 20},
            "evaluation": {"batch_size": 64, "samples": 500},
        }
    )
