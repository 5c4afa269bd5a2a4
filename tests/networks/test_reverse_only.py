"""What has no forward mode says so; reverse mode does not see the mark."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from score_sde.networks import NCSNpp
from score_sde.networks.reverse_only import reverse_only

X = jnp.array([0.3, 0.7])


def f(x):
    return jnp.sin(reverse_only(x, "no forward mode here"))


def in_a_loop(x):
    return jax.lax.scan(lambda c, _: (f(c), None), x, None, length=2)[0]


REVERSE = {
    "vjp": lambda f, x: jax.vjp(f, x)[1](x)[0],
    "jit": lambda f, x: jax.jit(lambda x: jax.vjp(f, x)[1](x)[0])(x),
    "vmap": lambda f, x: jax.vmap(jax.grad(f))(x),
    "checkpoint": lambda f, x: jax.grad(lambda x: jax.checkpoint(f)(x).sum())(x),
    "twice": lambda f, x: jax.grad(lambda x: jax.grad(lambda x: f(x).sum())(x).sum())(x),
}
FORWARD = {
    "jvp": lambda f, x: jax.jvp(f, (x,), (x,)),
    "jit": lambda f, x: jax.jit(lambda x: jax.jvp(f, (x,), (x,)))(x),
    "linearize": lambda f, x: jax.linearize(f, x)[1](x),
    "jacfwd": lambda f, x: jax.jacfwd(f)(x),
    "vjp of jvp": lambda f, x: jax.vjp(lambda x: jax.jvp(f, (x,), (x,))[1], x),
}


@pytest.mark.parametrize("mode", REVERSE.values(), ids=REVERSE.keys())
def test_reverse_mode_does_not_see_it(mode):
    np.testing.assert_allclose(mode(f, X), mode(jnp.sin, X), rtol=1e-6)


@pytest.mark.parametrize("mode", FORWARD.values(), ids=FORWARD.keys())
def test_forward_mode_is_refused_in_words(mode):
    for function in (f, in_a_loop):
        with pytest.raises(NotImplementedError, match="no forward mode here"):
            mode(function, X)


def test_the_second_derivative_is_refused_too():
    """Outside of loops; inside one, JAX drops the mark from the gradient, and the attention's own error is left."""
    with pytest.raises(NotImplementedError, match="no forward mode here"):
        jax.jvp(lambda x: jax.vjp(f, x)[1](x)[0], (X,), (X,))


def test_attention_by_cudnn_names_its_option(monkeypatch):
    """The attention itself does not run here: it is put aside for the one that does."""
    plain = functools.partial(jax.nn.dot_product_attention, implementation="xla")
    monkeypatch.setattr(jax.nn, "dot_product_attention", lambda q, k, v, implementation: plain(q, k, v))
    options = {"nf": 4, "ch_mult": (1,), "num_res_blocks": 1, "attn_resolutions": (4,), "fir": False}
    network = NCSNpp(4, 1, attention_implementation="cudnn", **options, rngs=nnx.Rngs(0))
    x, level = jnp.ones((1, 4, 4, 1)), jnp.ones(1)
    assert jnp.isfinite(jax.grad(lambda x: network(x, level).sum())(x)).all()
    with pytest.raises(NotImplementedError, match=r'attention_implementation = "cudnn" has no forward mode; use "xla"'):
        jax.jvp(lambda x: network(x, level), (x,), (x,))
