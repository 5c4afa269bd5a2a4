"""Config files in the original's own form, written by the facts table: what its authors' tree holds for every row."""

import dataclasses

DEVICE = "config.device = torch.device('cuda:0') if torch.cuda.is_available() else torch.device('cpu')"


@dataclasses.dataclass(frozen=True)
class Original:
    """One config of the original: the defaults that it imports (None: it stands alone), and what it sets."""

    defaults: str | None
    fields: dict

    def text(self) -> str:
        """The file."""
        lines = ["import ml_collections", "import torch"]
        if self.defaults:
            lines += [f"from configs.{self.defaults} import get_default_configs", "", "", "def get_config():"]
            lines += ["  config = get_default_configs()"]
        else:
            lines += ["", "", "def get_config():", "  config = ml_collections.ConfigDict()", "  config.seed = 42"]
            sections = dict.fromkeys(path.split(".")[0] for path in self.fields)
            lines += [f"  config.{section} = ml_collections.ConfigDict()" for section in sections]
        lines += [f"  config.{path} = {value!r}" for path, value in self.fields.items()]
        return "\n".join([*lines, f"  {DEVICE}", "  return config", ""])


def unet(name: str, sde: str, *, continuous: bool, **model) -> dict:
    """What every config of the paper sets."""
    ve = sde == "vesde"
    fields = {
        "training.sde": sde,
        "training.continuous": continuous,
        "training.reduce_mean": not ve,
        "sampling.method": "pc",
        "sampling.predictor": "reverse_diffusion" if ve else "euler_maruyama",
        "sampling.corrector": "langevin" if ve else "none",
        "data.centered": not ve,
    }
    network = {
        "name": name,
        "scale_by_sigma": ve,
        "ema_rate": 0.999 if ve else 0.9999,
        "normalization": "GroupNorm",
        "nonlinearity": "swish",
        "nf": 128,
        "ch_mult": (1, 2, 2, 2),
        "num_res_blocks": 2,
        "attn_resolutions": (16,),
        "resamp_with_conv": True,
        "conditional": True,
    }
    return fields | {f"model.{field}": value for field, value in (network | model).items()}


def ncsnpp(sde: str, *, continuous: bool = True, anti_aliased: bool = True, deep: bool = False, **model) -> dict:
    """NCSN++ (anti-aliased, with the input pyramid) or DDPM++."""
    blocks = {
        "num_res_blocks": 8 if deep else 4,
        "fir": anti_aliased,
        "fir_kernel": [1, 3, 3, 1],
        "skip_rescale": True,
        "resblock_type": "biggan",
        "progressive": "none",
        "progressive_input": "residual" if anti_aliased else "none",
        "progressive_combine": "sum",
        "attention_type": "ddpm",
        "embedding_type": "fourier" if sde == "vesde" and continuous else "positional",
        "init_scale": 0.0,
        "fourier_scale": 16,
        "conv_size": 3,
    }
    length = {"training.n_iters": 950001} if deep else {}
    return unet("ncsnpp", sde, continuous=continuous, **(blocks | model)) | length


CIFAR10, CELEBA, LSUN = (f"default_{name}_configs" for name in ("cifar10", "celeba", "lsun"))
ANCESTRAL = {"sampling.predictor": "ancestral_sampling"}
PYRAMIDS = {"ch_mult": (1, 1, 2, 2, 2, 2, 2), "num_res_blocks": 2, "progressive": "output_skip"}
PYRAMIDS |= {"progressive_input": "input_skip"}
WIDE = {"ch_mult": (1, 1, 2, 2, 4, 4), "num_scales": 1000}


def at_256(dataset: dict, sigma_max: float) -> Original:
    """NCSN++ of the paper at 256 x 256."""
    return Original(LSUN, ncsnpp("vesde", **PYRAMIDS) | dataset | {"model.sigma_max": sigma_max})


def ddpm_at_256(dataset: dict) -> Original:
    """DDPM at 256 x 256."""
    return Original(LSUN, unet("ddpm", "vpsde", continuous=False, **WIDE) | dataset | ANCESTRAL | {"optim.lr": 2e-5})


def at_1024(dataset: str, reduce_mean: bool) -> Original:
    """The two that stand alone: no defaults, and no eval.enable_* or bpd_dataset."""
    network = PYRAMIDS | {
        "nf": 16,
        "ch_mult": (1, 2, 4, 8, 16, 32, 32, 32),
        "num_res_blocks": 1,
        "ema_rate": 0.9999,
        "sigma_min": 0.01,
        "sigma_max": 1348,
        "num_scales": 2000,
        "beta_min": 0.1,
        "beta_max": 20.0,
        "dropout": 0.0,
    }
    rest = {
        "training.batch_size": 8,
        "training.n_iters": 2400001,
        "training.snapshot_freq": 50000,
        "training.log_freq": 50,
        "training.eval_freq": 100,
        "training.snapshot_freq_for_preemption": 5000,
        "training.snapshot_sampling": True,
        "training.likelihood_weighting": False,
        "training.reduce_mean": reduce_mean,
        "sampling.n_steps_each": 1,
        "sampling.noise_removal": True,
        "sampling.probability_flow": False,
        "sampling.snr": 0.15,
        "eval.begin_ckpt": 50,
        "eval.end_ckpt": 96,
        "eval.batch_size": 512,
        "eval.enable_sampling": False,
        "eval.num_samples": 50000,
        "data.dataset": dataset,
        "data.image_size": 1024,
        "data.num_channels": 3,
        "data.random_flip": True,
        "data.uniform_dequantization": False,
        "data.tfrecords_path": "/some/where/of/theirs.tfrecords",
        "optim.weight_decay": 0,
        "optim.optimizer": "Adam",
        "optim.lr": 2e-4,
        "optim.beta1": 0.9,
        "optim.eps": 1e-8,
        "optim.warmup": 5000,
        "optim.grad_clip": 1.0,
    }
    return Original(None, ncsnpp("vesde", **network) | rest)


def refinenet(name: str, lr: float, levels: int, sigma_max: float, steps: int, snr: float, rate: float) -> dict:
    """NCSN and NCSNv2: annealed Langevin dynamics alone, no warm-up, no clipping."""
    return {
        "training.sde": "vesde",
        "training.continuous": False,
        "training.batch_size": 128,
        "training.n_iters": 300001,
        "sampling.method": "pc",
        "sampling.predictor": "none",
        "sampling.corrector": "ald",
        "sampling.n_steps_each": steps,
        "sampling.snr": snr,
        "data.centered": False,
        "model.name": name,
        "model.scale_by_sigma": name != "ncsn",
        "model.num_scales": levels,
        "model.sigma_max": sigma_max,
        "model.ema_rate": rate,
        "model.normalization": "InstanceNorm++",
        "model.nonlinearity": "elu",
        "model.nf": 128,
        "model.interpolation": "bilinear",
        "optim.lr": lr,
        "optim.warmup": 0,
        "optim.grad_clip": -1.0,
    }


def techniques(dataset: str, few: bool, averaged: bool) -> Original:
    """NCSN with some of NCSNv2's techniques: few levels of many steps or many of few, with or without an average."""
    many = {CIFAR10: (232, 50.0, 5, 0.176), CELEBA: (500, 90.0, 5, 0.128)}[dataset]
    levels = (10, 1.0, 100, 0.316) if few else many
    return Original(dataset, refinenet("ncsn", 1e-3, *levels, 0.999 if averaged else 0.0))


def renamed(original: Original, old: str, new: str) -> Original:
    """With a field under a wrong name, as in their tree."""
    fields = {new if path == old else path: value for path, value in original.fields.items()}
    return Original(original.defaults, fields)


NCSN: dict[str, Original] = {
    "ve/ncsn/cifar10": techniques(CIFAR10, True, False),
    "ve/ncsn/cifar10_5": techniques(CIFAR10, True, True),
    "ve/ncsn/cifar10_124": techniques(CIFAR10, False, False),
    "ve/ncsn/cifar10_1245": techniques(CIFAR10, False, True),
    "ve/ncsn/celeba": renamed(techniques(CELEBA, True, False), "training.sde", "training.loss"),
    "ve/ncsn/celeba_5": techniques(CELEBA, True, True),
    "ve/ncsn/celeba_124": techniques(CELEBA, False, False),
    "ve/ncsn/celeba_1245": techniques(CELEBA, False, True),
    "ve/ncsnv2/cifar10": Original(CIFAR10, refinenet("ncsnv2_64", 1e-4, 232, 50.0, 5, 0.176, 0.999)),
    "ve/ncsnv2/celeba": Original(CELEBA, refinenet("ncsnv2_64", 1e-4, 500, 90.0, 5, 0.128, 0.999)),
    "ve/ncsnv2/bedroom": renamed(
        Original(
            LSUN,
            refinenet("ncsnv2_128", 1e-4, 1086, 190.0, 3, 0.095, 0.9999)
            | {"data.image_size": 128, "data.category": "bedroom"},
        ),
        "training.continuous",
        "training.continuouse",
    ),
}
ROWS: dict[str, Original] = {
    "ve/cifar10_ddpm": Original(CIFAR10, unet("ddpm", "vesde", continuous=False)),
    "ve/cifar10_ncsnpp": Original(CIFAR10, ncsnpp("vesde", continuous=False)),
    "ve/cifar10_ncsnpp_continuous": Original(CIFAR10, ncsnpp("vesde")),
    "ve/cifar10_ncsnpp_deep_continuous": Original(CIFAR10, ncsnpp("vesde", deep=True)),
    "ve/celeba_ncsnpp": Original(CELEBA, ncsnpp("vesde", continuous=False) | {"model.sigma_begin": 90.0}),
    "vp/ddpm/cifar10": Original(CIFAR10, unet("ddpm", "vpsde", continuous=False) | ANCESTRAL),
    "vp/ddpm/cifar10_unconditional": Original(
        CIFAR10, unet("ddpm", "vpsde", continuous=False, conditional=False) | ANCESTRAL
    ),
    "vp/ddpm/cifar10_continuous": Original(CIFAR10, unet("ddpm", "vpsde", continuous=True)),
    "vp/cifar10_ddpmpp": Original(CIFAR10, ncsnpp("vpsde", continuous=False, anti_aliased=False) | ANCESTRAL),
    "vp/cifar10_ncsnpp": Original(
        CIFAR10, ncsnpp("vpsde", continuous=False) | {"sampling.predictor": "reverse_diffusion"}
    ),
    "subvp/cifar10_ddpm_continuous": Original(CIFAR10, unet("ddpm", "subvpsde", continuous=True)),
    "ve/bedroom_ncsnpp_continuous": at_256({"data.category": "bedroom"}, 378),
    "ve/church_ncsnpp_continuous": at_256({"data.category": "church_outdoor"}, 380),
    "ve/ffhq_256_ncsnpp_continuous": at_256({"data.dataset": "FFHQ"}, 348),
    "ve/celebahq_256_ncsnpp_continuous": at_256({"data.dataset": "CelebAHQ"}, 348),
    "ve/ffhq_ncsnpp_continuous": at_1024("FFHQ", True),
    "ve/celebahq_ncsnpp_continuous": at_1024("CelebAHQ", False),
    "vp/ddpm/bedroom": ddpm_at_256({"data.category": "bedroom"}),
    "vp/ddpm/church": ddpm_at_256({"data.category": "church_outdoor"}),
    "vp/ddpm/celebahq": ddpm_at_256({"data.dataset": "CelebAHQ"}),
}
for sde, process in (("vp", "vpsde"), ("subvp", "subvpsde")):
    for depth in ("", "_deep"):
        for network, filtered in (("ddpmpp", False), ("ncsnpp", True)):
            fields = ncsnpp(process, anti_aliased=filtered, deep=bool(depth))
            ROWS[f"{sde}/cifar10_{network}{depth}_continuous"] = Original(CIFAR10, fields)
