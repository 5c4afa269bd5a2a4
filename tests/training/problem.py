"""A small thing to train: digits, a U-Net with dropout and attention."""

from flax import nnx

import score_sde as ss
from score_sde.training import optimizer as optimizers

SOURCE = ss.data.open_source("digits")
SCALING = ss.data.DataScaling.of(SOURCE)


def model(dropout: float = 0.1) -> ss.NetworkDenoiser:
    network = ss.networks.NCSNpp(
        8,
        1,
        nf=8,
        ch_mult=(1,),
        num_res_blocks=1,
        attn_resolutions=(8,),
        embedding_type="positional",
        dropout=dropout,
        rngs=nnx.Rngs(0),
    )
    return ss.NetworkDenoiser(ss.VP(), network, predicts="noise")


def loss(model, batch, keys, step):
    return ss.losses.denoising(model, SCALING.forward(batch["data"]), keys), {}


def optimizer():
    return optimizers.optimizer("adam", optimizers.schedule(1e-3, 5), clip=1.0)
