"""The baseline of ``networks.py --adm``: ADM's U-Net in plain PyTorch, with the same weights, as guided-diffusion writes it.

Scale-shift norms of 32 groups, blocks that change the resolution, heads split before q, k and v, whose product is an
``einsum`` with both factors scaled by d^(−1/4) and a softmax in float32.
"""

import math

import numpy as np
import torch
from networks_torch import Conv, Dense, Norm, averaged, repeated, value
from torch import nn
from torch.nn import functional

from score_sde.networks import ADM


class Block(nn.Module):
    def __init__(self, ours):
        super().__init__()
        self.norm_0, self.conv_0, self.dense = Norm(ours.norm_0), Conv(ours.conv_0), Dense(ours.dense)
        self.norm_1, self.conv_1 = Norm(ours.norm_1), Conv(ours.conv_1)
        self.shortcut = nn.Identity() if ours.shortcut is None else Conv(ours.shortcut)
        self.change = {None: lambda x: x, "down": averaged, "up": repeated}[ours.resample]
        self.rate = ours.dropout_rate

    def forward(self, x, embedding):
        h = self.conv_0(self.change(functional.silu(self.norm_0(x))))
        scale, shift = self.dense(functional.silu(embedding))[:, :, None, None].chunk(2, dim=1)
        h = functional.silu(self.norm_1(h) * (1 + scale) + shift)
        return self.shortcut(self.change(x)) + self.conv_1(functional.dropout(h, self.rate, self.training))


class Attention(nn.Module):
    def __init__(self, ours):
        super().__init__()
        self.norm, self.qkv, self.out, self.heads = Norm(ours.norm), Dense(ours.qkv), Dense(ours.out), ours.heads

    def forward(self, x):
        batch, channels = x.shape[:2]
        qkv = self.qkv(self.norm(x).flatten(2).transpose(1, 2)).transpose(1, 2)
        size = channels // self.heads
        q, k, v = qkv.reshape(batch * self.heads, 3 * size, -1).split(size, dim=1)
        scale = 1 / math.sqrt(math.sqrt(size))
        weight = torch.softmax(torch.einsum("bct,bcs->bts", q * scale, k * scale).float(), dim=-1)
        h = torch.einsum("bts,bcs->bct", weight, v).reshape(batch, channels, -1)
        return x + self.out(h.transpose(1, 2)).transpose(1, 2).reshape(x.shape)


class Level(nn.Module):
    """The blocks of a level with their attention, and what changes the resolution after them."""

    def __init__(self, ours):
        super().__init__()
        self.blocks = nn.ModuleList(map(Block, ours.blocks))
        self.attentions = nn.ModuleList(map(Attention, ours.attentions))
        self.change = None if ours.resample is None else Block(ours.resample)

    def block(self, i, h, embedding):
        h = self.blocks[i](h, embedding)
        return self.attentions[i](h) if len(self.attentions) else h


class Network(nn.Module):
    """With residual blocks that change the resolution and scale-shift norms, as ADM's models are."""

    def __init__(self, ours: ADM):
        super().__init__()
        encoder = ours.encoder
        self.width = encoder.time_embedding.width
        self.told = nn.ModuleList([Dense(encoder.time_embedding.dense_0), Dense(encoder.time_embedding.dense_1)])
        self.classes = value(ours.class_embedding.table)
        self.conv_in = Conv(encoder.conv_in)
        self.down, self.up = nn.ModuleList(map(Level, encoder.levels)), nn.ModuleList(map(Level, ours.up))
        self.middle = nn.ModuleList(
            [Block(encoder.middle_0), Attention(encoder.middle_attention), Block(encoder.middle_1)]
        )
        self.norm, self.conv_out = Norm(ours.norm), Conv(ours.conv_out)

    def forward(self, x, t, label):
        half = self.width // 2
        angles = t[:, None] * torch.exp(-math.log(10000) * torch.arange(half) / half)
        embedding = self.told[1](functional.silu(self.told[0](torch.cat([torch.cos(angles), torch.sin(angles)], 1))))
        embedding = embedding + self.classes[label]
        h = self.conv_in(x)
        kept = [h]
        for level in self.down:
            for i in range(len(level.blocks)):
                h = level.block(i, h, embedding)
                kept.append(h)
            if level.change is not None:
                h = level.change(h, embedding)
                kept.append(h)
        h = self.middle[2](self.middle[1](self.middle[0](h, embedding)), embedding)
        for level in self.up:
            for i in range(len(level.blocks)):
                h = level.block(i, torch.cat([h, kept.pop()], 1), embedding)
            if level.change is not None:
                h = level.change(h, embedding)
        return self.conv_out(functional.silu(self.norm(h)))


def image(x) -> torch.Tensor:
    """Channels first."""
    return torch.from_numpy(np.array(x).transpose(0, 3, 1, 2).copy())
