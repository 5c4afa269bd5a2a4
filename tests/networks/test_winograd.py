"""Convolutions with fewer multiplications: the same sums, derivatives and rounding as the direct ones; kept apart."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from score_sde.networks.cpu import convolution, winograd, written
from score_sde.networks.cpu.convolution import Geometry, conv
from tests.flags import devices
from tests.networks.quick import quick_jit


def geometry(x):
    """Size 3, stride 1, an input of the size of the output."""
    dims = x.ndim - 2
    return Geometry(1, ((1, 1),) * dims, x.shape[1:-1], (3,) * dims)


def direct(x, w):
    """XLA's own convolution."""
    return convolution._direct(x, w, geometry(x))


@pytest.fixture
def always(monkeypatch):
    """Winograd's algorithm for small convolutions too, as ``same``: it pays for large ones alone."""
    monkeypatch.setattr(winograd, "CHANNELS", 1)
    monkeypatch.setattr(winograd, "TILES", 0)
    jax.clear_caches()
    yield lambda x, w: conv(x, w, 1, ((1, 1),) * (x.ndim - 2))
    jax.clear_caches()


def draw(*spatial, channels=(5, 7), dtype=jnp.float64):
    keys = jax.random.split(jax.random.key(0), 3)
    x, dy = (jax.random.normal(k, (2, *spatial, c), dtype) for k, c in zip(keys, channels, strict=False))
    return x, jax.random.normal(keys[2], (*(3,) * len(spatial), *channels), dtype), dy


@pytest.mark.parametrize("spatial", [(6,), (2, 8), (6, 4), (4, 2, 6)])
def test_is_the_direct_sum_and_its_gradients(spatial, x64):
    x, w, dy = draw(*spatial)
    y, pull = jax.vjp(direct, x, w)
    dx, dw = pull(dy)
    for ours, want in (
        (winograd.conv(x, w), y),
        (winograd.input_gradient(dy, w), dx),
        (winograd.kernel_gradient(x, dy), dw),
        (convolution._direct_dx(dy, w, geometry(x)), dx),  # what GPUs and TPUs compute in their place
        (convolution._direct_dw(x, dy, geometry(x)), dw),
    ):
        np.testing.assert_allclose(ours, want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("piece", [10, 60, 100])  # six pieces, three, two
def test_a_large_batch_is_summed_in_pieces(piece, monkeypatch, x64):
    x, dy = (jax.random.normal(jax.random.key(i), (6, 4, 2, 3)) for i in (0, 1))
    want = winograd.kernel_gradient(x, dy)
    monkeypatch.setattr(winograd, "PIECE", piece)
    jax.clear_caches()
    np.testing.assert_allclose(winograd.kernel_gradient(x, dy), want, rtol=1e-12, atol=1e-12)


def test_rounds_like_the_direct_sum():
    """In float32 with 64 channels: the error's deviation is at most twice that of XLA's own convolution."""
    x, w, dy = (np.array(a) for a in draw(8, 8, channels=(64, 64), dtype=jnp.float32))
    with jax.enable_x64(True):
        y, pull = jax.vjp(direct, *(jnp.asarray(a, jnp.float64) for a in (x, w)))
        exact = (y, *pull(jnp.asarray(dy, jnp.float64)))
    exact = [np.array(a) for a in exact]
    y, pull = jax.vjp(direct, jnp.asarray(x), jnp.asarray(w))
    ours = winograd.conv(x, w), winograd.input_gradient(dy, w), winograd.kernel_gradient(x, dy)
    for got, xla, want in zip(ours, (y, *pull(jnp.asarray(dy))), exact, strict=True):
        error, floor = (float(np.std(np.asarray(a, np.float64) - want) / np.std(want)) for a in (got, xla))
        assert error < max(2 * floor, 4e-7)


@pytest.mark.parametrize(("of", "by"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_second_derivatives(of, by, x64, always):
    """The derivative of each gradient, in turn, with respect to each operand, and to the incoming gradient."""
    x, w, dy = draw(4, 6)

    def curvature(convolution):
        def gradient(x, w, dy):
            return jax.vjp(lambda x, w: jnp.tanh(convolution(x, w)), x, w)[1](dy)[of]

        return quick_jit(jax.grad(lambda *xwy: jnp.sum(gradient(*xwy) ** 3), (by, 2)))(x, w, dy)

    for ours, want in zip(curvature(always), curvature(direct), strict=True):
        np.testing.assert_allclose(ours, want, rtol=1e-10, atol=1e-8)


def test_third_derivative_vmap_and_loop(x64, always):
    """Through a gradient penalty, one per example under vmap, inside a scan."""
    x, w, _ = draw(4, 4)

    def run(convolution):
        def of_one(x, w):
            dx = jax.grad(lambda x: jnp.sum(jnp.tanh(convolution(x[None], w)) ** 3))(x)
            return jnp.sum(dx**2)

        def penalty(w):
            step = lambda total, _: (total + jax.vmap(of_one, (0, None))(x, w), None)  # noqa: E731
            return jnp.sum(lax.scan(step, jnp.zeros(2), None, length=2)[0])

        return quick_jit(jax.grad(lambda w: jnp.sum(jax.grad(penalty)(w) ** 2)))(w)

    want = run(direct)
    np.testing.assert_allclose(run(always), want, rtol=1e-9, atol=1e-9 * float(jnp.max(jnp.abs(want))))


def test_each_function_is_the_gradient_of_the_others(x64, always):
    """⟨y(x, w), dy⟩ = ⟨x, dx(dy, w)⟩ = ⟨w, dw(x, dy)⟩."""
    x, w, dy = draw(6, 4)
    told = {"geometry": geometry(x)}
    total = jnp.sum(convolution._y(x, w, **told) * dy)
    np.testing.assert_allclose(jnp.sum(x * convolution._dx(dy, w, **told)), total, rtol=1e-12)
    np.testing.assert_allclose(jnp.sum(w * convolution._dw(x, dy, **told)), total, rtol=1e-12)


IMAGE, KERNEL, SAME = (2, 8, 8, 64), (3, 3, 64, 64), ((1, 1), (1, 1))


@pytest.mark.parametrize(
    ("shape", "kernel", "stride", "padding", "dtype", "taken"),
    [
        (IMAGE, KERNEL, 1, SAME, jnp.float32, True),
        ((1, 4, 8, 8, 64), (3, 3, 3, 64, 96), 1, ((1, 1),) * 3, jnp.float32, True),
        ((2, 7, 8, 64), KERNEL, 1, SAME, jnp.float32, False),  # an odd side
        ((1, 4, 4, 64), KERNEL, 1, SAME, jnp.float32, False),  # few positions
        (IMAGE, (3, 3, 64, 3), 1, SAME, jnp.float32, False),  # few channels
        (IMAGE, (5, 5, 64, 64), 1, ((2, 2), (2, 2)), jnp.float32, False),
        (IMAGE, KERNEL, 1, ((0, 0), (0, 0)), jnp.float32, False),
        (IMAGE, KERNEL, 2, SAME, jnp.float32, False),
        ((2, 512, 64), (3, 64, 64), 1, ((1, 1),), jnp.float32, False),  # along one axis there is little to gain
        (IMAGE, KERNEL, 1, SAME, jnp.bfloat16, False),  # its sums would lose too many digits
    ],
)
def test_is_taken_where_it_gains(shape, kernel, stride, padding, dtype, taken):
    """On a CPU, and nowhere else: forward, and for both gradients."""
    x, w = jax.ShapeDtypeStruct(shape, dtype), jax.ShapeDtypeStruct(kernel, dtype)

    def gradients(x, w):
        return jax.grad(lambda x, w: jnp.sum(written(conv(x, w, stride, padding)) ** 2), (0, 1))(x, w)

    for function, products in ((lambda x, w: conv(x, w, stride, padding), 1), (gradients, 3)):
        program = {
            platform: jax.jit(function).trace(x, w).lower(lowering_platforms=(platform,)).as_text()
            for platform in ("cpu", "cuda", "tpu")
        }
        assert program["cpu"].count("stablehlo.convolution") == (0 if taken else products)
        for platform in ("cuda", "tpu"):
            assert program[platform].count("stablehlo.convolution") == products
            assert "inlineable" not in program[platform]


def test_operands_of_two_types_are_refused_everywhere():
    x, w = jnp.ones(IMAGE, jnp.float32), jnp.ones(KERNEL, jnp.bfloat16)
    with pytest.raises(TypeError, match="same dtypes"):
        conv(x, w, 1, SAME)


def test_written_once():
    """A sum of a sum of a sum, read many times: XLA computes it again for each reader, unless it is written."""

    def stream(keep):
        def run(x):
            for _ in range(6):
                x = keep(x + jnp.roll(jnp.sin(x), 1))
            return x

        return jax.jit(jax.value_and_grad(lambda x: jnp.sum(run(x))))

    x = jnp.linspace(0.0, 1.0, 512)
    (value, dx), (want, want_dx) = stream(written)(x), stream(lambda x: x)(x)
    np.testing.assert_allclose(value, want, rtol=1e-6)
    np.testing.assert_allclose(dx, want_dx, rtol=1e-5)
    if jax.default_backend() == "cpu":
        sines = [stream(keep).lower(x).compile().as_text().count("sine(") for keep in (written, lambda x: x)]
        assert sines[0] < sines[1]


SHARDED = """
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
from score_sde.networks.cpu import conv, winograd, written

mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
x = jax.random.normal(jax.random.key(0), (16, 4, 4, 64))
w = jax.random.normal(jax.random.key(1), (3, 3, 64, 64))
assert winograd.is_faster(x, w.shape, 1, ((1, 1), (1, 1)))
run = jax.jit(jax.value_and_grad(lambda x, w: jnp.mean(written(conv(x, w, 1, ((1, 1), (1, 1))) + x) ** 2), (0, 1)))
parts = jax.device_put(x, NamedSharding(mesh, P("data"))), jax.device_put(w, NamedSharding(mesh, P()))
program = run.lower(*parts).compile()
for collective in ("all-gather", "all-to-all", "collective-permute"):
    assert collective not in program.as_text(), collective
for ours, want in zip(jax.tree.leaves(program(*parts)), jax.tree.leaves(run(x, w)), strict=True):
    np.testing.assert_allclose(ours, want, rtol=1e-4, atol=1e-5 * float(jnp.std(want)) if want.ndim else 0)
"""


def test_a_batch_over_eight_devices_stays_where_it_is():
    """What is kept apart is divided like the rest: no device asks for the examples of another."""
    flags = {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": devices(8),
    }
    done = subprocess.run([sys.executable, "-c", SHARDED], env=os.environ | flags, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
