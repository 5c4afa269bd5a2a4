"""Forward mode and its compositions with reverse mode, through the convolutions and through every network."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import score_sde as ss
from score_sde.networks.cpu import written
from score_sde.networks.cpu.convolution import Geometry, _direct, conv
from tests.flags import devices

SAME = ((1, 1), (1, 1))
# x, w, stride, padding: a small one, one of stride 2 with an uneven border, one that Winograd's algorithm takes.
CASES = {
    "size 3": ((2, 6, 6, 3), (3, 3, 3, 4), 1, SAME),
    "stride 2": ((2, 8, 6, 3), (3, 3, 3, 4), 2, ((0, 1), (0, 1))),
    "size 2 of 1 axis": ((3, 9, 2), (2, 2, 5), 1, ((0, 1),)),
    "Winograd": ((8, 8, 8, 64), (3, 3, 64, 64), 1, SAME),
}


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def case(request):
    """(x, w, f): f(x, w) is not linear in either."""
    x_shape, w_shape, stride, padding = request.param
    keys = jax.random.split(jax.random.key(0), 4)
    with jax.enable_x64(True):
        x, w, dx, dw = (
            jax.random.normal(key, shape, jnp.float64) / np.sqrt(np.prod(shape[:-1]) if len(shape) > 2 else 1)
            for key, shape in zip(keys, (x_shape, w_shape) * 2, strict=True)
        )

        def f(x, w):
            return written(jnp.sin(conv(jnp.cos(x), w, stride, padding)))

        def plain(x, w):
            return jnp.sin(_direct(jnp.cos(x), w, Geometry(stride, padding, (), ())))

        yield f, plain, (x, w), (dx, dw)


def close(one, other):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11)


def test_every_mode_is_that_of_the_plain_convolution(case):
    f, plain, point, tangent = case
    cotangent = jnp.ones_like(f(*point))

    def modes(f):
        def gradient(x, w):
            return jax.vjp(f, x, w)[1](cotangent)

        def derivative(x, w):
            return jax.jvp(f, (x, w), tangent)[1]

        return (
            jax.jvp(f, point, tangent),
            gradient(*point),
            jax.jvp(gradient, point, tangent),
            jax.vjp(derivative, *point)[1](cotangent),
            jax.jvp(derivative, point, tangent),
            jax.linearize(f, *point)[1](*tangent),
        )

    close(jax.jit(lambda: modes(f))(), jax.jit(lambda: modes(plain))())


def test_jvp_of_vjp_is_vjp_of_jvp(case):
    """Both are the Hessian of Σ f times the tangent."""
    f, _, point, tangent = case
    total = lambda x, w: jnp.sum(f(x, w))  # noqa: E731
    one = jax.jit(lambda: jax.jvp(jax.grad(total, (0, 1)), point, tangent)[1])()
    other = jax.jit(lambda: jax.grad(lambda x, w: jax.jvp(total, (x, w), tangent)[1], (0, 1))(*point))()
    close(one, other)


@pytest.mark.parametrize("mapped", [(0, None), (None, 0), (0, 0), (1, -1)])
def test_vmap_over_each_operand(case, mapped):
    f, plain, (x, w), _ = case

    def stacked(a, dim):
        return a if dim is None else jnp.stack([a, 2 * a, -a], dim)

    operands = stacked(x, mapped[0]), stacked(w, mapped[1])

    def everything(f):
        total = lambda x, w: jnp.sum(f(x, w))  # noqa: E731
        gradient = jax.grad(total, (0, 1))
        inside = jax.vmap(gradient, mapped)(*operands)
        outside = jax.grad(lambda x, w: jnp.sum(jax.vmap(total, mapped)(x, w)), (0, 1))(*operands)
        return jax.vmap(f, mapped)(*operands), inside, outside

    close(jax.jit(lambda: everything(f))(), jax.jit(lambda: everything(plain))())


def test_in_loops_and_under_checkpoints(case):
    f, plain, (x, w), (dx, dw) = case

    def looped(f):
        def total(x, w):
            body = jax.checkpoint(lambda carry, _: (carry + jnp.mean(f(x, w + carry)), None))
            return jax.lax.scan(body, jnp.zeros(()), None, 2)[0]

        return jax.grad(total, (0, 1))(x, w), jax.jvp(total, (x, w), (dx, dw))

    close(jax.jit(lambda: looped(f))(), jax.jit(lambda: looped(plain))())


def attention(q, k, v, implementation=None):
    """JAX's own, but in float64 throughout."""
    logits = jnp.einsum("bqhc,bkhc->bhqk", q, k) / np.sqrt(q.shape[-1])
    return jnp.einsum("bhqk,bkhc->bqhc", jax.nn.softmax(logits), v)


UNET: dict = {"ch_mult": (1, 2), "num_res_blocks": 1, "attn_resolutions": (4,)}
NETWORKS = {
    "ncsnpp": lambda **k: ss.networks.NCSNpp(8, 1, nf=8, progressive="output_skip", **UNET, **k),
    "ddpmpp": lambda **k: ss.networks.ddpmpp(8, 1, nf=8, **UNET, **k),
    "ddpm": lambda **k: ss.networks.DDPM(8, 1, nf=32, **UNET, **k),
    "mlp": lambda **k: ss.networks.MLP((8, 8, 1), width=16, depth=2, **k),
    "resnet": lambda **k: ss.networks.ResNet((8, 8, 1), width=16, depth=2, **k),
    "classifier": lambda **k: ss.networks.Classifier(8, 1, num_classes=3, nf=8, **UNET, **k),
    "attention pool": lambda **k: ss.networks.Classifier(8, 1, num_classes=3, nf=8, pool="attention", **UNET, **k),
    "wide_resnet": lambda **k: ss.networks.WideResNet(
        8, 1, num_classes=3, nf=4, width=2, num_res_blocks=1, nonlinearity="swish", **k
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_against_finite_differences(name, x64, monkeypatch):
    """Along one direction of the parameters, x and the noise level."""
    monkeypatch.setattr(jax.nn, "dot_product_attention", attention)
    graph, state, frozen = nnx.split(NETWORKS[name](dtype="float64", rngs=nnx.Rngs(0)), nnx.Param, ...)
    x, level = jax.random.normal(jax.random.key(1), (2, 8, 8, 1)), jnp.array([0.3, 0.7])

    def some(scale, start):
        def draw(a):
            return start * a + scale * jax.random.normal(jax.random.key(a.size), a.shape, jnp.float64)

        return jax.tree.map(draw, (state, x, level))

    point, direction = some(0.05, 1.0), some(1.0, 0.0)

    @jax.jit
    def f(point):
        state, x, level = point
        return nnx.merge(graph, state, frozen)(x, level)

    derivative = jax.jit(lambda point, direction: jax.jvp(f, (point,), (direction,))[1])(point, direction)
    h = 1e-6
    ahead, behind = (f(jax.tree.map(lambda a, d: a + step * d, point, direction)) for step in (h, -h))  # noqa: B023
    difference = (ahead - behind) / (2 * h)
    largest = float(jnp.abs(difference).max())
    assert largest > 0.1
    np.testing.assert_allclose(derivative, difference, rtol=1e-5, atol=1e-5 * largest)


SHARDED = """
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import AxisType, PartitionSpec as P
from score_sde.networks.cpu import written
from score_sde.networks.cpu.convolution import Geometry, _direct, conv

mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
x, w = jax.random.normal(jax.random.key(0), (8, 6, 6, 3)), jax.random.normal(jax.random.key(1), (3, 3, 3, 4))
total = lambda x, w: jnp.sum(written(jnp.sin(conv(x, w, 1, ((1, 1), (1, 1))))))

def gradient(x, w):
    return jax.grad(lambda w: jax.lax.psum(total(x, w), "data"))(w)

def derivative(x, w):
    return jax.lax.psum(jax.jvp(lambda w: total(x, w), (w,), (w,))[1], "data")

for check in (True, False):
    shard = lambda f: jax.jit(jax.shard_map(f, mesh=mesh, in_specs=(P("data"), P()), out_specs=P(), check_vma=check))
    np.testing.assert_allclose(shard(derivative)(x, w), jax.jvp(lambda w: total(x, w), (w,), (w,))[1], rtol=1e-4)
    if check:  # without it JAX does not know that the weights are the same everywhere, and adds nothing up
        np.testing.assert_allclose(shard(gradient)(x, w), jax.grad(total, 1)(x, w), rtol=1e-3, atol=1e-4)
print("same")
"""


def test_in_shard_map():
    environment = os.environ | {"XLA_FLAGS": devices(4), "JAX_PLATFORMS": "cpu"}
    root = Path(ss.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", SHARDED], capture_output=True, text=True, check=False, env=environment, cwd=root
    )
    assert "same" in done.stdout, done.stderr
