"""The values of the original's three default config files, for config files that import them."""

from collections.abc import Callable

from ml_collections import ConfigDict


def cifar10() -> ConfigDict:
    """configs/default_cifar10_configs."""
    return ConfigDict(
        {
            "training": {
                "batch_size": 128,
                "n_iters": 1300001,
                "snapshot_freq": 50000,
                "log_freq": 50,
                "eval_freq": 100,
                "snapshot_freq_for_preemption": 10000,
                "snapshot_sampling": True,
                "likelihood_weighting": False,
                "continuous": True,
                "reduce_mean": False,
            },
            "sampling": {"n_steps_each": 1, "noise_removal": True, "probability_flow": False, "snr": 0.16},
            "eval": {
                "begin_ckpt": 9,
                "end_ckpt": 26,
                "batch_size": 1024,
                "enable_sampling": False,
                "num_samples": 50000,
                "enable_loss": True,
                "enable_bpd": False,
                "bpd_dataset": "test",
            },
            "data": {
                "dataset": "CIFAR10",
                "image_size": 32,
                "random_flip": True,
                "centered": False,
                "uniform_dequantization": False,
                "num_channels": 3,
            },
            "model": {
                "sigma_min": 0.01,
                "sigma_max": 50.0,
                "num_scales": 1000,
                "beta_min": 0.1,
                "beta_max": 20.0,
                "dropout": 0.1,
                "embedding_type": "fourier",
            },
            "optim": {
                "weight_decay": 0.0,
                "optimizer": "Adam",
                "lr": 2e-4,
                "beta1": 0.9,
                "eps": 1e-8,
                "warmup": 5000,
                "grad_clip": 1.0,
            },
            "seed": 42,
        }
    )


def celeba() -> ConfigDict:
    """configs/default_celeba_configs."""
    config = cifar10()
    config.sampling.snr = 0.17
    config.eval.begin_ckpt = 1
    config.data.dataset, config.data.image_size = "CELEBA", 64
    config.model.sigma_max = 90.0
    return config


def lsun() -> ConfigDict:
    """configs/default_lsun_configs."""
    config = cifar10()
    config.training.update(batch_size=64, n_iters=2400001, snapshot_freq_for_preemption=5000)
    config.sampling.snr = 0.075
    config.eval.update(begin_ckpt=50, end_ckpt=96, batch_size=512)
    config.data.dataset, config.data.image_size = "LSUN", 256
    config.model.update(sigma_max=378.0, num_scales=2000, dropout=0.0)
    return config


DEFAULTS: dict[str, Callable[[], ConfigDict]] = {
    "default_cifar10_configs": cifar10,
    "default_celeba_configs": celeba,
    "default_lsun_configs": lsun,
}
