"""MeanFlow (Geng et al. 2025) on Fashion-MNIST, from data alone: flow matching, one evaluation a sample.

apt-get install dataset-fashion-mnist
python main.py --config=configs/few_step/mean_flow.py --workdir=runs/mean_flow

A loss that differentiates by time needs a smooth embedding of it. The errors are squared: the adaptive weight of the paper
biases the map (tests/losses/few_step).
"""

from ml_collections import ConfigDict

from configs import fashion_mnist


def get_config():
    config = fashion_mnist.get_config()
    config.sde = ConfigDict({"name": "flow_matching"})
    config.network.update(second_level=True, fourier_scale=0.5)
    config.denoiser = ConfigDict({"name": "network_flow_map", "predicts": "velocity", "noise_level": "angle_level"})
    config.task = ConfigDict({"name": "distillation"})
    times = {"name": "logit_normal", "mean": -0.4, "std": 1.0}
    config.loss = ConfigDict(
        {"name": "mean_flow", "pairs": {"times": times, "equal": 0.5}, "distance": {"name": "mean_squares"}}
    )
    config.sampler = ConfigDict({"name": "few_step", "steps": 1})
    return config
