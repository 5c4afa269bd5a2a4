"""A small thing to train: digits, a U-Net with dropout and attention."""

from flax import nnx

import score_sde as ss
from score_sde import losses
from score_sde.tasks import Diffusion
from score_sde.training.optimizer import optimizer as make_optimizer

SOURCE = ss.data.open_source("digits")
SCALING = ss.data.DataScaling.of(SOURCE)


def model(key=None, dropout: float = 0.1) -> ss.NetworkDenoiser:
    """The same first parameters whatever the key."""
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


TASK = Diffusion(model, losses.denoising, SCALING)


def optimizer():
    return make_optimizer(lr=1e-3, warmup=5, clip=1.0, steps=100)[0]
