"""What the paper's experiments share, in three independent choices: data, network, process.

A config is made as ``ve(ncsnpp(cifar10()))`` and then says what is different about it.
"""

from ml_collections import ConfigDict

# Data, and the training and evaluation that go with its size.


def cifar10() -> ConfigDict:
    """32 x 32, 128 images a step."""
    return ConfigDict(
        {
            "data": {"name": "cifar10"},
            "example": {"shape": (32, 32, 3), "levels": 256},
            "batches": {"batch_size": 128},
            "training": {
                "steps": 1_300_001,
                "log_every": 50,
                "evaluate_every": 100,
                "checkpoint_every": 10_000,
                "snapshot_every": 50_000,
            },
            "optim": {"lr": 2e-4, "warmup": 5000, "clip": 1.0, "rule": {"name": "adam", "b1": 0.9, "eps": 1e-8}},
            "sampler": {"name": "predictor_corrector", "time_grid": "published", "final": "mean"},
            "evaluation": {"batch_size": 1024, "samples": 50_000},
        }
    )


def celeba() -> ConfigDict:
    """64 x 64, otherwise as CIFAR-10."""
    config = cifar10()
    config.data = ConfigDict({"name": "celeba", "size": 64})
    config.example.shape = (64, 64, 3)
    return config


def large(dataset: str) -> ConfigDict:
    """256 x 256: LSUN, FFHQ, CelebA-HQ."""
    config = cifar10()
    config.data = ConfigDict({"name": dataset, "size": 256})
    config.example.shape = (256, 256, 3)
    config.batches.batch_size = 64
    config.training.update(steps=2_400_001, checkpoint_every=5000)
    config.evaluation.batch_size = 512
    return config


def lsun(category: str) -> ConfigDict:
    """One category of LSUN at 256 x 256."""
    config = large("lsun")
    config.data.category = category
    return config


def ffhq() -> ConfigDict:
    """Faces at 256 x 256, from a folder or a zip file of images."""
    config = large("images")
    config.data.path = "data/ffhq"
    return config


# Networks.


def ncsnpp(config: ConfigDict) -> ConfigDict:
    """NCSN++: anti-aliased BigGAN blocks and a residual pyramid of the input."""
    config.network = ConfigDict(
        {
            "name": "ncsnpp",
            "nf": 128,
            "ch_mult": (1, 2, 2, 2),
            "num_res_blocks": 4,
            "attn_resolutions": (16,),
            "dropout": 0.1 if config.example.shape[0] < 256 else 0.0,
            "fir": True,
            "progressive_input": "residual",
            "embedding_type": "fourier",
            "fourier_scale": 16.0,
        }
    )
    return config


def ncsnpp_256(config: ConfigDict) -> ConfigDict:
    """NCSN++ for 256 x 256: seven levels of two blocks, which all see the image and all add to the output."""
    ncsnpp(config)
    config.network.ch_mult = (1, 1, 2, 2, 2, 2, 2)
    config.network.num_res_blocks = 2
    config.network.progressive = "output_skip"
    config.network.progressive_input = "input_skip"
    return config


def ncsnpp_1024(config: ConfigDict) -> ConfigDict:
    """NCSN++ for 1024 x 1024: eight levels of one block, 16 to 512 channels."""
    ncsnpp_256(config)
    config.data.size = 1024
    config.example.shape = (1024, 1024, 3)
    config.network.nf = 16
    config.network.ch_mult = (1, 2, 4, 8, 16, 32, 32, 32)
    config.network.num_res_blocks = 1
    config.batches.batch_size = 8
    return config


def ddpmpp(config: ConfigDict) -> ConfigDict:
    """DDPM++: NCSN++ without anti-aliasing, without a pyramid, with the positional embedding."""
    ncsnpp(config)
    config.network.fir = False
    config.network.progressive_input = "none"
    config.network.embedding_type = "positional"
    return config


def ddpm(config: ConfigDict) -> ConfigDict:
    """The network of DDPM."""
    config.network = ConfigDict(
        {
            "name": "ddpm",
            "nf": 128,
            "ch_mult": (1, 2, 2, 2),
            "num_res_blocks": 2,
            "attn_resolutions": (16,),
            "dropout": 0.1 if config.example.shape[0] < 256 else 0.0,
        }
    )
    return config


def ddpm_256(config: ConfigDict) -> ConfigDict:
    """The network of DDPM for 256 x 256: six levels, and a learning rate ten times smaller."""
    ddpm(config)
    config.network.ch_mult = (1, 1, 2, 2, 4, 4)
    config.optim.lr = 2e-5
    return config


def refinenet(config: ConfigDict, name: str) -> ConfigDict:
    """The RefineNets of NCSN and NCSNv2; no warm-up of the learning rate, no clipping."""
    config.network = ConfigDict({"name": name, "nf": 128, "nonlinearity": "elu", "normalization": "instancenorm++"})
    config.optim.update(warmup=0, clip=None)
    config.training.steps = 300_001
    return config


# Processes, with the data range, average, loss and sampler that the paper uses with them.

SIGMA_MAX = {32: 50.0, 64: 90.0, 256: 378.0, 1024: 1348.0}  # about the largest distance between two images
SNR = {32: 0.16, 64: 0.17, 256: 0.075, 1024: 0.15}


def ve(config: ConfigDict) -> ConfigDict:
    """Variance exploding on [0, 1]: the network divides by σ; predictor-corrector sampling."""
    size = config.example.shape[0]
    levels = 1000 if size < 256 else 2000
    config.sde = ConfigDict({"name": "ve", "sigma_min": 0.01, "sigma_max": SIGMA_MAX[size], "num_scales": levels})
    config.scaling = ConfigDict({"centered": False})
    config.network.scale_by_sigma = True
    config.denoiser = ConfigDict({"predicts": "score", "noise_level": "sigma_level"})
    config.loss = ConfigDict({"name": "denoising", "reduce": "half_sum"})
    config.averages = ConfigDict({"ema": {"rate": 0.999}})
    config.sampler.steps = levels
    config.sampler.predictor = ConfigDict({"name": "reverse_diffusion"})
    config.sampler.corrector = ConfigDict({"name": "langevin", "snr": SNR[size], "norms": "batch"})
    return config


def vp(config: ConfigDict) -> ConfigDict:
    """Variance preserving on [-1, 1]: levels 999 t, which take the positional embedding; predictor only."""
    config.sde = ConfigDict({"name": "vp", "beta_min": 0.1, "beta_max": 20.0, "num_scales": 1000})
    config.scaling = ConfigDict({"centered": True})
    _positional(config)
    config.denoiser = ConfigDict({"predicts": "noise", "noise_level": "scaled_time"})
    config.loss = ConfigDict({"name": "denoising", "reduce": "mean"})
    config.averages = ConfigDict({"ema": {"rate": 0.9999}})
    config.sampler.steps = 1000
    config.sampler.predictor = ConfigDict({"name": "euler_maruyama"})
    config.sampler.corrector = None
    return config


def ncsn(config: ConfigDict) -> ConfigDict:
    """NCSN as published: ten noise levels told as labels, 100 Langevin steps at each."""
    smld(config, levels=10, sigma_max=1.0, steps=100, snr=0.316)
    config.optim.lr = 1e-3
    config.averages = ConfigDict({"ema": {"rate": 0.0}})
    return config


def ncsnv2(config: ConfigDict, levels: int, sigma_max: float, snr: float, steps: int = 5) -> ConfigDict:
    """NCSNv2: many levels up to the largest distance of two images, few Langevin steps at each, an average."""
    smld(config, levels=levels, sigma_max=sigma_max, steps=steps, snr=snr)
    config.optim.lr = 1e-4
    config.averages = ConfigDict({"ema": {"rate": 0.999}})
    return config


def smld(config: ConfigDict, levels: int, sigma_max: float, steps: int, snr: float) -> ConfigDict:
    """A discrete VE process on [0, 1], sampled by annealed Langevin dynamics and a last denoising."""
    config.sde = ConfigDict({"name": "ve", "sigma_min": 0.01, "sigma_max": sigma_max, "num_scales": levels})
    config.scaling = ConfigDict({"centered": False})
    config.denoiser = ConfigDict({"name": "smld_chain"})
    config.loss = ConfigDict({"name": "discrete", "reduce": "half_sum"})
    config.sampler = ConfigDict({"name": "annealed_langevin", "steps": steps, "snr": snr, "final": "denoise"})
    return config


def subvp(config: ConfigDict) -> ConfigDict:
    """Sub-variance preserving, otherwise as VP."""
    vp(config)
    config.sde = ConfigDict({"name": "sub_vp", "beta_min": 0.1, "beta_max": 20.0})
    return config


# Variants.


def discrete(config: ConfigDict) -> ConfigDict:
    """Trained on the levels of a chain, whose labels take the positional embedding."""
    _positional(config)
    config.denoiser = ConfigDict({"name": "smld_chain" if config.sde.name == "ve" else "ddpm_chain"})
    config.loss.name = "discrete"
    return config


def ancestral(config: ConfigDict) -> ConfigDict:
    """DDPM's own sampler."""
    config.sampler.predictor = ConfigDict({"name": "ancestral", "variance": "forward"})
    return config


def deep(config: ConfigDict) -> ConfigDict:
    """Twice the blocks in each level, trained for fewer steps."""
    config.network.num_res_blocks = 8
    config.training.steps = 950_001
    return config


def _positional(config: ConfigDict) -> None:
    if config.network.name == "ncsnpp":
        config.network.embedding_type = "positional"
