"""The original's recipe in PyTorch: the same U-Net, data, cores and time, trained as yang-song/score_sde trains DDPM++.

    pip install torch
    python experiments/fashion_mnist/baseline_torch.py --steps=1000 --seed=0 --out=runs/fashion_mnist_torch

1,000 steps take 20 minutes of two free cores (107 images/s). Its recipe (configs/vp/cifar10_ddpmpp_continuous.py there): the
network predicts the noise, told 999 t; the loss is the mean of (ε̂ − ε)² at t ~ U(1e-5, 1); Adam 2e-4, gradients clipped to
norm 1, dropout 0.1, batches of 128, an average of the parameters with rate 0.9999; no labels. Its warm-up of 5,000 steps is
100 here, in its favour. Written in plain PyTorch; nothing is copied.

The averaged weights are written as a packed run with the same names as ours, so that the same evaluation judges both:
``score_sde`` draws from it with the original's sampler (Euler-Maruyama, 1,000 steps) and with any other.
"""

import argparse
import sys
import time
from pathlib import Path

import jax
import numpy as np
import torch
from ml_collections import ConfigDict
from torch import nn
from torch.nn import functional

import score_sde as ss
from score_sde.experiment import Run, experiment_of, pack

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
from networks_torch import Attention, Block, Conv, Dense, Norm

BETA_MIN, BETA_MAX, T_MIN = 0.1, 20.0, 1e-5


def get_config() -> ConfigDict:
    """Ours, with the original's choices."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from configs import fashion_mnist

    config = fashion_mnist.get_config()
    config.conditions = ConfigDict()
    config.batches.batch_size = 128
    config.scaling.dequantize = False
    config.network.update(dropout=0.1, embedding_type="positional")
    config.denoiser = ConfigDict({"predicts": "noise"})
    config.loss = ConfigDict()
    config.optim = ConfigDict({"lr": 2e-4, "warmup": 100})
    config.averages = ConfigDict({"ema": {"rate": 0.9999}})
    config.sampler = ConfigDict({"name": "predictor_corrector", "steps": 1000, "predictor": {"name": "euler_maruyama"}})
    return config


class Network(nn.Module):
    """DDPM++ (BigGAN blocks, no filter, no pyramids, positional embedding) with the initial weights of ours."""

    def __init__(self, ours: ss.networks.NCSNpp):
        super().__init__()
        self.width = ours.noise_embedding.width
        self.told = nn.ModuleList([Dense(ours.noise_embedding.dense_0), Dense(ours.noise_embedding.dense_1)])
        self.conv_in = Conv(ours.conv_in)
        self.down, self.down_attention, self.halving = (nn.ModuleList() for _ in range(3))
        for level in ours.down:
            self.down.append(nn.ModuleList(map(Block, level.blocks)))
            self.down_attention.append(nn.ModuleList(map(Attention, level.attentions)))
            if level.downsample is not None:
                self.halving.append(Block(level.downsample))
        middle = ours.middle
        self.middle = nn.ModuleList([Block(middle.block_0), Attention(middle.attention), Block(middle.block_1)])
        self.up, self.up_attention, self.doubling = (nn.ModuleList() for _ in range(3))
        for step in ours.up:
            self.up.append(nn.ModuleList(map(Block, step.blocks)))
            self.up_attention.append(nn.Identity() if step.attention is None else Attention(step.attention))
            if step.upsample is not None:
                self.doubling.append(Block(step.upsample))
        self.norm, self.conv_out = Norm(ours.head.norm), Conv(ours.head.conv)

    def forward(self, x: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        half = self.width // 2
        angles = level[:, None] * torch.exp(-np.log(10000.0) / (half - 1) * torch.arange(half))
        features = torch.cat([torch.sin(angles), torch.cos(angles)], 1)
        told = self.told[1](functional.silu(self.told[0](features)))
        h = self.conv_in(x)
        kept = [h]
        for i, blocks in enumerate(self.down):
            for k, block in enumerate(blocks):
                h = block(h, told)
                if self.down_attention[i]:
                    h = self.down_attention[i][k](h)
                kept.append(h)
            if i < len(self.halving):
                h = self.halving[i](h, told)
                kept.append(h)
        h = self.middle[2](self.middle[1](self.middle[0](h, told)), told)
        for i, blocks in enumerate(self.up):
            for block in blocks:
                h = block(torch.cat([h, kept.pop()], 1), told)
            h = self.up_attention[i](h)
            if i < len(self.doubling):
                h = self.doubling[i](h, told)
        return self.conv_out(functional.silu(self.norm(h)))


def written_back(ours: ss.networks.NCSNpp, theirs: Network) -> None:
    """Copy the weights of the PyTorch network into ours."""

    def conv(mine, other):
        mine.kernel[...], mine.bias[...] = _array(other.weight).transpose(2, 3, 1, 0), _array(other.bias)

    def dense(mine, other):
        mine.kernel[...], mine.bias[...] = _array(other.weight), _array(other.bias)

    def norm(mine, other):
        mine.scale[...], mine.bias[...] = _array(other.weight), _array(other.bias)

    def block(mine, other):
        norm(mine.norm_0, other.norm_0)
        conv(mine.conv_0, other.conv_0)
        dense(mine.dense, other.dense)
        norm(mine.norm_1, other.norm_1)
        conv(mine.conv_1, other.conv_1)
        if mine.shortcut is not None:
            conv(mine.shortcut, other.shortcut)

    def attention(mine, other):
        norm(mine.norm, other.norm)
        for name in ("query", "key", "value", "out"):
            dense(getattr(mine, name), getattr(other, name))

    dense(ours.noise_embedding.dense_0, theirs.told[0])
    dense(ours.noise_embedding.dense_1, theirs.told[1])
    conv(ours.conv_in, theirs.conv_in)
    for i, level in enumerate(ours.down):
        for mine, other in zip(level.blocks, theirs.down[i], strict=True):
            block(mine, other)
        for mine, other in zip(level.attentions, theirs.down_attention[i], strict=True):
            attention(mine, other)
        if level.downsample is not None:
            block(level.downsample, theirs.halving[i])
    block(ours.middle.block_0, theirs.middle[0])
    attention(ours.middle.attention, theirs.middle[1])
    block(ours.middle.block_1, theirs.middle[2])
    for i, step in enumerate(ours.up):
        for mine, other in zip(step.blocks, theirs.up[i], strict=True):
            block(mine, other)
        if step.attention is not None:
            attention(step.attention, theirs.up_attention[i])
        if step.upsample is not None:
            block(step.upsample, theirs.doubling[i])
    norm(ours.head.norm, theirs.norm)
    conv(ours.head.conv, theirs.conv_out)


def _array(parameter: torch.Tensor) -> np.ndarray:
    return parameter.detach().numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20.0, help="of training, on the clock")
    parser.add_argument("--steps", type=int, default=None, help="a number of steps instead of minutes")
    parser.add_argument("--warmup", type=int, default=100, help="steps")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    config = get_config()
    config.seed = options.seed
    experiment = experiment_of(config)
    model = experiment.task.init(jax.random.key(options.seed))
    torch.manual_seed(options.seed)
    network = Network(model.network).to(memory_format=torch.channels_last)
    average = [p.detach().clone() for p in network.parameters()]
    optimiser = torch.optim.Adam(network.parameters(), lr=2e-4, fused=True)
    data = torch.from_numpy(experiment.source("train").data.transpose(0, 3, 1, 2).copy())
    began, step, losses = time.monotonic(), 0, []
    network.train()
    while step < options.steps if options.steps else time.monotonic() - began < 60 * options.minutes:
        x0 = data[torch.randint(len(data), (128,))].float() / 127.5 - 1
        t = T_MIN + (1 - T_MIN) * torch.rand(128)
        log_alpha = -(t**2) * (BETA_MAX - BETA_MIN) / 4 - t * BETA_MIN / 2
        alpha, sigma = (v[:, None, None, None] for v in (log_alpha.exp(), (-torch.expm1(2 * log_alpha)).sqrt()))
        noise = torch.randn_like(x0)
        x_t = (alpha * x0 + sigma * noise).contiguous(memory_format=torch.channels_last)
        loss = torch.mean((network(x_t, 999 * t) - noise) ** 2)
        optimiser.zero_grad()
        loss.backward()
        for group in optimiser.param_groups:
            group["lr"] = 2e-4 * min((step + 1) / options.warmup, 1.0)
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        step += 1
        rate = min(0.9999, (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_(average, list(network.parameters()), 1 - rate)
        losses.append(loss.item())
        if step % 20 == 0:
            minutes = (time.monotonic() - began) / 60
            print(f"step {step}  loss {np.mean(losses[-100:]):.4f}  {minutes:.1f} min", flush=True)
    hours = (time.monotonic() - began) / 3600
    with torch.no_grad():
        for p, mean in zip(network.parameters(), average, strict=True):
            p.copy_(mean)
    written_back(model.network, network)
    pack(
        Run(model, experiment, step, "ema"),
        options.out,
        title="Fashion-MNIST, the original's recipe in PyTorch",
        about="The baseline of experiments/fashion_mnist: DDPM++ trained as yang-song/score_sde trains it.",
        data="Fashion-MNIST",
        licence="MIT",
        command=f"python experiments/fashion_mnist/baseline_torch.py --steps={step} --seed={options.seed}",
        hours=hours,
        machine="one busy core of two, Python 3.11, PyTorch 2.13",
    )
    print(f"written {options.out}: {step} steps in {hours:.2f} hours")


if __name__ == "__main__":
    main()
