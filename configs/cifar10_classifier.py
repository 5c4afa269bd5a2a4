"""A classifier of CIFAR-10 at every noise level of the VE SDE: the paper's wide residual network (appendix I).

It guides a model of the same process, such as that of configs/ve/cifar10_ncsnpp_continuous.py, when that is sampled with
config.guidance = {"name": "classifier", "classifier": {"run": WORKDIR}} and config.example.classes = 10, the classes that
--mode=sample then draws in turn.
"""

from ml_collections import ConfigDict

from configs.default import cifar10, ncsnpp, ve


def get_config():
    config = ve(ncsnpp(cifar10()))
    config.example.classes = 10
    config.task = ConfigDict({"name": "classifier"})
    config.network = ConfigDict({"name": "wide_resnet", "embedding_type": "fourier", "fourier_scale": 16.0})
    config.denoiser = ConfigDict({"name": "noisy_classifier", "noise_level": "sigma_level"})
    config.loss = ConfigDict()
    config.optim = ConfigDict({"lr": 3e-4, "warmup": 1000, "decay": "cosine", "clip": 1.0})
    config.training.steps = 200_000
    return config
