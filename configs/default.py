"""What the paper's experiments share, in three independent choices: data, network, process.

A config is made as ``ve(ncsnpp(cifar10()))`` and then says what is different about it. The fields have the names of
the original's configs; those that the original sets but never reads are not here.
"""

from ml_collections import ConfigDict

from score_sde.interop import defaults

# Data, and the training and evaluation that go with its size.


def cifar10() -> ConfigDict:
    """32 x 32, 128 images a step."""
    return _completed(defaults.cifar10())


def celeba() -> ConfigDict:
    """64 x 64, otherwise as CIFAR-10."""
    return _completed(defaults.celeba())


def large(dataset: str) -> ConfigDict:
    """256 x 256: LSUN, FFHQ, CelebA-HQ."""
    config = _completed(defaults.lsun())
    config.data.dataset = dataset
    return config


def lsun(category: str) -> ConfigDict:
    """One category of LSUN at 256 x 256."""
    config = large("LSUN")
    config.data.category = category
    return config


# Networks. `model` may hold fields already; a network adds its own.


def ncsnpp(config: ConfigDict) -> ConfigDict:
    """NCSN++: anti-aliased BigGAN blocks and a residual pyramid of the input."""
    _unet(config)
    config.model.update(
        name="ncsnpp",
        num_res_blocks=4,
        fir=True,
        fir_kernel=(1, 3, 3, 1),
        skip_rescale=True,
        resblock_type="biggan",
        progressive="none",
        progressive_input="residual",
        progressive_combine="sum",
        embedding_type="fourier",
        fourier_scale=16.0,
        init_scale=0.0,
    )
    return config


def ncsnpp_256(config: ConfigDict) -> ConfigDict:
    """NCSN++ for 256 x 256: seven levels of two blocks, which all see the image and all add to the output."""
    ncsnpp(config)
    config.model.ch_mult = (1, 1, 2, 2, 2, 2, 2)
    config.model.num_res_blocks = 2
    config.model.progressive = "output_skip"
    config.model.progressive_input = "input_skip"
    return config


def ncsnpp_1024(config: ConfigDict) -> ConfigDict:
    """NCSN++ for 1024 x 1024: eight levels of one block, 16 to 512 channels."""
    ncsnpp_256(config)
    config.data.image_size = 1024
    config.model.nf = 16
    config.model.ch_mult = (1, 2, 4, 8, 16, 32, 32, 32)
    config.model.num_res_blocks = 1
    config.model.sigma_max = 1348.0
    config.sampling.snr = 0.15
    config.training.batch_size = 8
    return config


def ddpmpp(config: ConfigDict) -> ConfigDict:
    """DDPM++: NCSN++ without anti-aliasing, without a pyramid, with the positional embedding."""
    ncsnpp(config)
    config.model.fir = False
    config.model.progressive_input = "none"
    config.model.embedding_type = "positional"
    return config


def ddpm(config: ConfigDict) -> ConfigDict:
    """The network of DDPM."""
    _unet(config)
    config.model.update(name="ddpm", num_res_blocks=2)
    return config


def ddpm_256(config: ConfigDict) -> ConfigDict:
    """The network of DDPM for 256 x 256: six levels, and a learning rate ten times smaller."""
    ddpm(config)
    config.model.ch_mult = (1, 1, 2, 2, 4, 4)
    config.model.num_scales = 1000
    config.optim.lr = 2e-5
    return config


# Processes, with the data range, EMA, loss and sampler that the paper uses with them.


def ve(config: ConfigDict) -> ConfigDict:
    """Variance exploding on [0, 1]: the network divides by σ; predictor-corrector sampling."""
    config.training.sde = "vesde"
    config.data.centered = False
    config.model.scale_by_sigma = True
    config.model.ema_rate = 0.999
    config.training.reduce_mean = False
    config.sampling.predictor, config.sampling.corrector = "reverse_diffusion", "langevin"
    return config


def vp(config: ConfigDict) -> ConfigDict:
    """Variance preserving on [-1, 1]: labels 999 t, which take the positional embedding; predictor only."""
    config.training.sde = "vpsde"
    config.data.centered = True
    config.model.scale_by_sigma = False
    if config.model.name == "ncsnpp":
        config.model.embedding_type = "positional"
    config.model.ema_rate = 0.9999
    config.training.reduce_mean = True
    config.sampling.predictor, config.sampling.corrector = "euler_maruyama", "none"
    return config


def subvp(config: ConfigDict) -> ConfigDict:
    """Sub-variance preserving, otherwise as VP."""
    vp(config)
    config.training.sde = "subvpsde"
    return config


# Variants.


def discrete(config: ConfigDict) -> ConfigDict:
    """Trained on the levels of a chain, whose labels take the positional embedding."""
    config.training.continuous = False
    if config.model.name == "ncsnpp":
        config.model.embedding_type = "positional"
    return config


def deep(config: ConfigDict) -> ConfigDict:
    """Twice the blocks in each level, trained for fewer steps."""
    config.model.num_res_blocks = 8
    config.training.n_iters = 950001
    return config


def _completed(config: ConfigDict) -> ConfigDict:
    """The original's defaults, with what every config of the paper adds, and what its code had hard-wired."""
    del config.model.embedding_type  # NCSN++ alone reads it
    config.sampling.update(method="pc", scheme="published", norms="batch")
    return config


def _unet(config: ConfigDict) -> None:
    config.model.update(
        nf=128,
        ch_mult=(1, 2, 2, 2),
        attn_resolutions=(16,),
        resamp_with_conv=True,
        conditional=True,
        nonlinearity="swish",
        normalization="GroupNorm",
    )
