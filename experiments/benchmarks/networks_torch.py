"""The baseline of ``networks.py``: the same NCSN++ in plain PyTorch, with the same weights.

Written as the original writes it: channels first, ``conv2d``, ``group_norm`` and ``silu`` of PyTorch, the filter of the
resampling as a ``conv2d`` over all channels as a batch. ``networks.py`` checks that both give the same output before it
times them.
"""

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from score_sde.networks import NCSNpp


def value(variable) -> nn.Parameter:
    """A variable of ours as a parameter."""
    return nn.Parameter(torch.from_numpy(np.array(variable[...], np.float32)))


def kernel(variable) -> nn.Parameter:
    """(height, width, in, out) as (out, in, height, width)."""
    return nn.Parameter(torch.from_numpy(np.array(variable[...]).transpose(3, 2, 0, 1).copy()))


def fir(x: torch.Tensor, lo: int, hi: int, *, up: int = 1, down: int = 1) -> torch.Tensor:
    """Zeros between the pixels, the filter (1, 3, 3, 1)/8 · up along both axes, every other pixel."""
    n, c, h, w = x.shape
    x = x.reshape(n * c, 1, h, w)
    if up > 1:
        x = functional.pad(x.reshape(n * c, 1, h, 1, w, 1), (0, up - 1, 0, 0, 0, up - 1)).reshape(n * c, 1, h * up, -1)
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8 * up
    y = functional.conv2d(functional.pad(x, (lo, hi, lo, hi)), torch.outer(taps, taps)[None, None], stride=down)
    return y.reshape(n, c, *y.shape[2:])


def downsampled(x: torch.Tensor) -> torch.Tensor:
    return fir(x, 1, 1, down=2)


def upsampled(x: torch.Tensor) -> torch.Tensor:
    return fir(x, 2, 1, up=2)


def averaged(x: torch.Tensor) -> torch.Tensor:
    """The mean of 2 x 2 pixels."""
    return functional.avg_pool2d(x, 2)


def repeated(x: torch.Tensor) -> torch.Tensor:
    """Every pixel four times."""
    return functional.interpolate(x, scale_factor=2, mode="nearest")


class Conv(nn.Module):
    def __init__(self, ours):
        super().__init__()
        self.weight, self.bias, self.stride = kernel(ours.kernel), value(ours.bias), ours.stride

    def forward(self, x):
        padding = 0 if self.stride > 1 else self.weight.shape[-1] // 2
        return functional.conv2d(x, self.weight, self.bias, self.stride, padding)


class Dense(nn.Module):
    def __init__(self, ours):
        super().__init__()
        self.weight, self.bias = value(ours.kernel), value(ours.bias)

    def forward(self, x):
        return x @ self.weight + self.bias


class Norm(nn.Module):
    def __init__(self, ours):
        super().__init__()
        self.weight, self.bias = value(ours.scale), value(ours.bias)
        self.groups, self.epsilon = ours.groups, ours.epsilon

    def forward(self, x):
        return functional.group_norm(x, self.groups, self.weight, self.bias, eps=self.epsilon)


class Block(nn.Module):
    def __init__(self, ours):
        super().__init__()
        self.norm_0, self.conv_0, self.dense = Norm(ours.norm_0), Conv(ours.conv_0), Dense(ours.dense)
        self.norm_1, self.conv_1 = Norm(ours.norm_1), Conv(ours.conv_1)
        self.shortcut = nn.Identity() if ours.shortcut is None else Conv(ours.shortcut)
        halved, doubled = (averaged, repeated) if ours.fir is None else (downsampled, upsampled)
        self.change = {None: lambda x: x, "down": halved, "up": doubled}[ours.resample]
        self.rate = ours.dropout_rate

    def forward(self, x, embedding):
        h = self.change(functional.silu(self.norm_0(x)))
        h = self.conv_0(h) + self.dense(functional.silu(embedding))[:, :, None, None]
        h = functional.dropout(functional.silu(self.norm_1(h)), self.rate, self.training)
        return (self.shortcut(self.change(x)) + self.conv_1(h)) / math.sqrt(2)


class Attention(nn.Module):
    def __init__(self, ours):
        super().__init__()
        self.norm = Norm(ours.norm)
        self.query, self.key, self.value, self.out = map(Dense, (ours.query, ours.key, ours.value, ours.out))

    def forward(self, x):
        tokens = self.norm(x).flatten(2).transpose(1, 2)
        h = functional.scaled_dot_product_attention(self.query(tokens), self.key(tokens), self.value(tokens))
        return (x + self.out(h).transpose(1, 2).reshape(x.shape)) / math.sqrt(2)


class Network(nn.Module):
    """NCSN++ with BigGAN blocks, the filter (1, 3, 3, 1), a residual input pyramid, Fourier features, one attention."""

    def __init__(self, ours: NCSNpp):
        super().__init__()
        self.frequencies = nn.Buffer(value(ours.noise_embedding.frequencies).detach())
        self.told = nn.ModuleList([Dense(ours.noise_embedding.dense_0), Dense(ours.noise_embedding.dense_1)])
        self.conv_in = Conv(ours.conv_in)
        self.down, self.down_attention, self.halving, self.pyramid = (nn.ModuleList() for _ in range(4))
        for level in ours.down:
            self.down.append(nn.ModuleList(map(Block, level.blocks)))
            self.down_attention.append(nn.ModuleList(map(Attention, level.attentions)))
            if level.downsample is not None:
                self.halving.append(Block(level.downsample))
                self.pyramid.append(Conv(level.pyramid.downsample.conv))
        middle = ours.middle
        self.middle = nn.ModuleList([Block(middle.block_0), Attention(middle.attention), Block(middle.block_1)])
        self.up, self.up_attention, self.doubling = (nn.ModuleList() for _ in range(3))
        for step in ours.up:
            self.up.append(nn.ModuleList(map(Block, step.blocks)))
            self.up_attention.append(nn.Identity() if step.attention is None else Attention(step.attention))
            if step.upsample is not None:
                self.doubling.append(Block(step.upsample))
        self.norm, self.conv_out = Norm(ours.head.norm), Conv(ours.head.conv)

    def forward(self, x, sigma):
        angles = 2 * math.pi * torch.log(sigma)[:, None] * self.frequencies
        features = torch.cat([torch.sin(angles), torch.cos(angles)], 1)
        embedding = self.told[1](functional.silu(self.told[0](features)))
        image = 2 * x - 1
        h = self.conv_in(image)
        kept = [h]
        for i, blocks in enumerate(self.down):
            for k, block in enumerate(blocks):
                h = block(h, embedding)
                if self.down_attention[i]:
                    h = self.down_attention[i][k](h)
                kept.append(h)
            if i < len(self.halving):
                h = self.halving[i](h, embedding)
                image = h = (self.pyramid[i](fir(image, 2, 2)) + h) / math.sqrt(2)
                kept.append(h)
        h = self.middle[2](self.middle[1](self.middle[0](h, embedding)), embedding)
        for i, blocks in enumerate(self.up):
            for block in blocks:
                h = block(torch.cat([h, kept.pop()], 1), embedding)
            h = self.up_attention[i](h)
            if i < len(self.doubling):
                h = self.doubling[i](h, embedding)
        return self.conv_out(functional.silu(self.norm(h))) / sigma[:, None, None, None]


def programs(ours: NCSNpp, x: np.ndarray, sigma: np.ndarray, *, tuned: bool = False) -> dict:
    """Forward, score + vector-Jacobian product, and training step (dropout, Adam, EMA) as functions without arguments.

    ``tuned``: with what PyTorch has for speed and the original does not use: channels last, Adam and EMA fused.
    """
    layout = torch.channels_last if tuned else torch.contiguous_format
    network = Network(ours).to(memory_format=layout)
    x = torch.from_numpy(np.array(x).transpose(0, 3, 1, 2).copy()).to(memory_format=layout)
    sigma = torch.from_numpy(np.array(sigma))
    parameters = list(network.parameters())
    optimiser = torch.optim.Adam(parameters, lr=2e-4, fused=tuned)
    averages = [p.detach().clone() for p in parameters]

    def forward():
        network.eval()
        with torch.no_grad():
            return network(x, sigma).permute(0, 2, 3, 1)

    def score_and_vjp():
        network.eval().requires_grad_(False)
        seen = x.detach().requires_grad_()
        score = network(seen, sigma)
        (pulled,) = torch.autograd.grad(score, seen, x)
        network.requires_grad_(True)
        return score, pulled

    def step():
        network.train()
        noise, wide = torch.randn_like(x), sigma[:, None, None, None]
        loss = torch.mean((network(x + wide * noise, sigma) * wide + noise) ** 2)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        with torch.no_grad():
            if tuned:
                torch._foreach_lerp_(averages, parameters, 0.001)
            else:
                for average, p in zip(averages, parameters, strict=True):
                    average.sub_(0.001 * (average - p))
        return loss

    return {"forward": forward, "score + vjp": score_and_vjp, "step": step}
