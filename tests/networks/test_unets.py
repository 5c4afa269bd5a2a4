"""The U-Nets as a whole: every option runs and means what it says, in any number of dimensions and any precision."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from score_sde.networks import ADM, DDPM, NCSNpp, NoiseToScore, ddpmpp
from score_sde.networks.checks import usual_levels
from tests.networks.quick import draw, quick_jit

TINY = {"nf": 8, "ch_mult": (1, 2), "num_res_blocks": 1, "attn_resolutions": (4,), "embedding_type": "positional"}


def tiny(image_size=8, channels=2, seed=0, **options):
    """A small network with weights that leave no layer silent."""
    return draw(lambda: NCSNpp(image_size, channels, **{**TINY, **options}, rngs=nnx.Rngs(0)), seed)


def images(*shape):
    return jax.random.normal(jax.random.key(3), shape)


@quick_jit
def apply(network, x, level, condition=None, dropout_keys=None):
    return network(x, level, condition, dropout_keys=dropout_keys)


LEVELS = jnp.array([0.3, 400.0])

# Options that the original offers, and with which it crashes.
CRASH_THERE = {
    "ddpm blocks": {"resblock_type": "ddpm", "fir": False},
    "ddpm blocks, fir": {"resblock_type": "ddpm"},
    "ddpm blocks, no convolution": {"resblock_type": "ddpm", "resamp_with_conv": False},
    "progressive residual": {"progressive": "residual"},
    "progressive residual without fir": {"progressive": "residual", "fir": False, "skip_rescale": False},
    "output skip without fir": {"progressive": "output_skip", "fir": False},
    "not told the noise level": {"conditional": False},
}
OTHERS = {
    "as in the paper": {},
    "input skip, cat": {"progressive_input": "input_skip", "progressive_combine": "cat", "progressive": "output_skip"},
    "DDPM++": {"fir": False, "progressive_input": "none"},
    "fourier": {"embedding_type": "fourier", "scale_by_sigma": True, "data_in_unit_range": True},
}


@quick_jit
def apply_and_differentiate(network, x, probe):
    out, pull = jax.vjp(lambda n: n(x, LEVELS[:1]), network)
    return out, pull(probe)[0]


@pytest.mark.parametrize("options", [*CRASH_THERE.values(), *OTHERS.values()], ids=[*CRASH_THERE, *OTHERS])
def test_options(options):
    """Every parameter has its effect, and no layer is off by a pixel.

    Turning the image and every kernel round turns the output round. The strided convolutions without a filter pad one
    side only, as the original's do; there it must not.
    """
    network, x, probe = tiny(**options), images(1, 8, 8, 2), images(1, 8, 8, 2) ** 2
    out, gradient = apply_and_differentiate(network, x, probe)
    assert out.shape == x.shape
    sizes = {path: float(jnp.max(jnp.abs(g[...]))) for path, g in nnx.to_flat_state(nnx.state(gradient, nnx.Param))}
    idle = [path for path, size in sizes.items() if size < 1e-6 * max(sizes.values())]
    assert all(path[-2:] == ("key", "bias") for path in idle), idle  # a constant added to every key cancels

    def turn(p):
        return jnp.flip(p, (0, 1)) if p.ndim == 4 and p.shape[0] == 3 else p

    mirrored, _ = apply_and_differentiate(jax.tree.map(turn, network), jnp.flip(x, (1, 2)), probe)
    error = float(jnp.max(jnp.abs(jnp.flip(mirrored, (1, 2)) - out)) / jnp.std(out))
    strided = options.get("resblock_type") == "ddpm" and options.get("resamp_with_conv", True)
    strided = strided or options.get("progressive_input", "residual") == "residual"
    assert (error > 1e-2) if strided and not options.get("fir", True) else (error < 1e-4)


def test_noise_level_and_conditioning():
    x = images(2, 8, 8, 2)
    told, untold = tiny(), tiny(conditional=False)
    assert float(jnp.max(jnp.abs(apply(told, x, LEVELS) - apply(told, x, LEVELS[::-1])))) > 1e-3
    np.testing.assert_array_equal(apply(untold, x, LEVELS), apply(untold, x, LEVELS[::-1]))


def test_scale_by_sigma_and_data_range():
    x, plain = images(2, 8, 8, 2), tiny()
    by_level, by_table = tiny(scale_by_sigma=True), tiny(scale_by_sigma=True, sigmas=[50.0, 5.0, 0.5])
    by_table.sigmas.set_value(jnp.array([50.0, 5.0, 0.5]))
    out = apply(plain, x, LEVELS)
    np.testing.assert_allclose(apply(by_level, x, LEVELS), out / LEVELS[:, None, None, None], rtol=1e-5, atol=1e-7)
    labels = jnp.array([2.0, 1.6])  # cut down to 2 and 1
    want = apply(plain, x, labels) / jnp.array([0.5, 5.0])[:, None, None, None]
    np.testing.assert_allclose(apply(by_table, x, labels), want, rtol=1e-5, atol=1e-6)
    unit = tiny(data_in_unit_range=True)
    np.testing.assert_allclose(apply(unit, (x + 1) / 2, LEVELS), out, atol=2e-5)
    score = NoiseToScore(plain, [1.0, 2.0, 4.0])
    want = -apply(plain, x, labels) / jnp.array([4.0, 2.0])[:, None, None, None]
    np.testing.assert_allclose(apply(score, x, labels), want, rtol=1e-5, atol=1e-6)
    # The tables are constants of the definition: no gradient reaches them.
    gradient = quick_jit(jax.grad(lambda n: jnp.sum(n(x, labels))))(by_table)
    assert (gradient.sigmas[...] == 0).all()


@pytest.mark.parametrize(("spatial", "shape"), [(1, (16,)), (2, (8, 16)), (2, (16, 8)), (3, (8, 4, 8))])
def test_dimensions_and_rectangles(spatial, shape):
    """Signals, rectangles, volumes; permuting the axes of image and kernels permutes the output."""
    attention = {1: (8,), 2: (4,), 3: (2,)}[spatial]
    network = tiny(shape, spatial_dims=spatial, attn_resolutions=attention)
    x = images(2, *shape, 2)
    out = apply(network, x, LEVELS)
    assert out.shape == x.shape
    if spatial > 1:
        order = (spatial - 1, *range(spatial - 1))

        def permute(p):
            return jnp.transpose(p, (*order, spatial, spatial + 1)) if p.ndim == spatial + 2 else p

        image_order = (0, *(1 + axis for axis in order), spatial + 1)
        permuted = apply(jax.tree.map(permute, network), jnp.transpose(x, image_order), LEVELS)
        np.testing.assert_allclose(permuted, jnp.transpose(out, image_order), atol=1e-4)


def test_class_conditioning():
    network, x = tiny(num_classes=3), images(2, 8, 8, 2)
    with_class = apply(network, x, LEVELS, {"label": jnp.array([0, 2])})
    no_class = apply(network, x, LEVELS)
    np.testing.assert_array_equal(no_class, apply(network, x, LEVELS, {"label": jnp.array([3, 3])}))
    mixed = apply(network, x, LEVELS, {"label": jnp.array([0, 3])})
    np.testing.assert_allclose(mixed[0], with_class[0], atol=1e-5)
    np.testing.assert_allclose(mixed[1], no_class[1], atol=1e-5)
    assert float(jnp.max(jnp.abs(with_class - no_class))) > 1e-2
    only_class = tiny(num_classes=3, conditional=False)
    difference = apply(only_class, x, LEVELS, {"label": jnp.array([0, 2])}) - apply(only_class, x, LEVELS)
    assert float(jnp.max(jnp.abs(difference))) > 1e-2


def test_dropout_does_not_depend_on_the_batch():
    network, x, keys = tiny(dropout=0.5), images(4, 8, 8, 2), jax.random.split(jax.random.key(0), 4)
    levels = jnp.arange(4.0)
    together = apply(network, x, levels, None, keys)
    alone = apply(network, x[2:3], levels[2:3], None, keys[2:3])
    np.testing.assert_allclose(together[2:3], alone, atol=1e-5)
    assert float(jnp.max(jnp.abs(together - apply(network, x, levels)))) > 0.1
    layers = [block.layer for level in (*network.down, *network.up) for block in level.blocks]
    assert len(set(layers)) == len(layers)


def test_bfloat16():
    """Half the memory, the same numbers to 2 %: parameters stay in float32, and so do normalisation and softmax."""
    options = {"nf": 32, "num_res_blocks": 2, "embedding_type": "fourier"}
    network, x = tiny(**options), images(2, 8, 8, 2)
    half = tiny(**options, dtype=jnp.bfloat16)
    out, exact = apply(half, x, LEVELS), apply(network, x, LEVELS)
    assert out.dtype == jnp.float32
    assert all(p.dtype == jnp.float32 for p in jax.tree.leaves(half))
    assert 1e-5 < float(jnp.linalg.norm(out - exact) / jnp.linalg.norm(exact)) < 0.02


def test_rematerialisation_changes_memory_not_values():
    """The bytes that the forward pass leaves for the backward pass; XLA on a CPU undoes the saving, a GPU has it."""
    x, keys = images(2, 8, 8, 2), jax.random.split(jax.random.key(0), 2)

    def loss(network):
        return jnp.sum(network(x, LEVELS, dropout_keys=keys) ** 2)

    kept, gradients = {}, {}
    for remat in ("none", "blocks", "full"):
        network = tiny(attn_resolutions=(), dropout=0.1, remat=remat)
        residuals = jax.tree.leaves(jax.eval_shape(lambda n: jax.vjp(loss, n)[1], network))
        kept[remat] = sum(leaf.size * leaf.dtype.itemsize for leaf in residuals)
        kept[remat] -= sum(leaf.nbytes for leaf in jax.tree.leaves(network))
        if remat != "blocks":  # "full" has the blocks inside
            gradients[remat] = jax.tree.leaves(quick_jit(jax.grad(loss))(network))
    error = sum(jnp.sum((a - b) ** 2) for a, b in zip(gradients["none"], gradients["full"], strict=True))
    size = sum(jnp.sum(a**2) for a in gradients["none"])
    assert float(jnp.sqrt(error / size)) < 2e-6  # float32, added in another order
    assert kept["full"] < kept["blocks"] < 0.3 * kept["none"], kept


def test_families():
    pp = ddpmpp(8, 2, **TINY, rngs=nnx.Rngs(0))
    small = DDPM(8, 2, nf=32, ch_mult=(1, 2), attn_resolutions=(4,), rngs=nnx.Rngs(0))
    assert pp.embedding_type == "positional"
    assert all(level.pyramid is None for level in pp.down)
    assert {level.blocks[0].norm_0.groups for level in small.down} == {32}
    # A network begins silent: its last layers start at (almost) zero.
    assert float(jnp.max(jnp.abs(apply(small, images(2, 8, 8, 2), LEVELS)))) < 1e-3


ERRORS = [
    ({"resblock_type": "resnet"}, "resblock_type = 'resnet'; allowed: 'biggan', 'ddpm'"),
    ({"progressive": "skip"}, "progressive = 'skip'; allowed: 'none', 'output_skip', 'residual'"),
    ({"progressive_input": "skip"}, "progressive_input = 'skip'"),
    ({"progressive_combine": "add"}, "progressive_combine = 'add'; allowed: 'sum', 'cat'"),
    ({"embedding_type": "learned"}, "embedding_type = 'learned'"),
    ({"nonlinearity": "gelu"}, "nonlinearity = 'gelu'"),
    ({"remat": "all"}, "remat = 'all'; allowed: 'none', 'blocks', 'full'"),
    ({"attn_resolutions": (16,)}, r"attn_resolutions = \(16,\): 16 never occurs; .* resolutions \[8, 4\]"),
    ({"image_size": 9}, r"image_size = \(9, 9\) cannot be halved 1 times.*use multiples of 2"),
    ({"image_size": (8, 8, 8)}, "does not fit spatial_dims = 2"),
    ({"attention_heads": 3}, "attention_heads = 3 does not divide"),
    ({"nf": 2}, "width 2: it needs at least 4"),
    ({"nf": 14}, "cannot split 14 channels into 3 groups"),
]


@pytest.mark.parametrize(("options", "message"), ERRORS)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        nnx.eval_shape(lambda: tiny(**options))


def test_bad_input():
    network, classes = tiny(), tiny(num_classes=3)
    x, levels = images(2, 8, 8, 2), LEVELS
    cases = itertools.chain(
        [(network, (images(2, 8, 8, 3), levels), r"this network takes \(batch, H, W, 2\)")],
        [(network, (images(2, 8, 2), levels), "channels last")],
        [(network, (images(2, 7, 8, 2), levels), r"the spatial shape of x = \(7, 8\) cannot be halved")],
        [(network, (x, levels[:1]), "noise_level")],
        [(network, (x, levels, {"label": jnp.array([0, 1])}), "build it with num_classes")],
        [(classes, (x, levels, {"label": jnp.array([0, 4])}), "holds 4; allowed: 0 ... 2, and 3 for no class")],
        [(classes, (x, levels, {"label": jnp.array([0.0, 1.0])}), "give one integer for each example")],
    )
    for net, arguments, message in cases:
        with pytest.raises((ValueError, TypeError), match=message):  # the types checked in tests may come first
            net(*arguments)


@pytest.mark.parametrize(
    ("size", "levels"),
    [
        (8, ((1, 2), (4,))),
        (28, ((1, 2, 2), (14,))),
        (32, ((1, 2, 2, 2), (16,))),  # the paper's for CIFAR-10
        (64, ((1, 2, 2, 2), (16,))),  # and for CelebA
        (256, ((1, 1, 2, 2, 2, 2), (16,))),
        ((16, 24), ((1, 2, 2), (8,))),
        (45, ((1,), ())),
    ],
)
def test_levels_that_follow_from_the_size(size, levels):
    assert usual_levels(size) == levels


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nf": -3}, "nf = -3; allowed: 1 or more"),
        ({"dropout": 1.0}, "dropout = 1.0; allowed: 0 to below 1"),
        ({"init_scale": float("nan")}, "init_scale = nan; allowed: 0 or a positive number"),
        ({"ch_mult": (1, 0)}, r"ch_mult = \(1, 0\); allowed"),
        ({"fir_kernel": (1, -1)}, r"fir_kernel = \(1, -1\); allowed"),
        ({"dtype": "float17"}, "dtype = 'float17'; allowed: 'float32', 'bfloat16'"),
    ],
)
def test_numbers_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        nnx.eval_shape(lambda: NCSNpp(8, 1, **({"nf": 8} | options), rngs=nnx.Rngs(0)))


IDLE = {
    "fir_kernel": ({"fir": False, "fir_kernel": (1, 2, 1)}, "with fir = False"),
    "progressive_combine": ({"progressive_combine": "cat"}, "combined with input_skip alone"),
    "fourier_scale": ({"embedding_type": "positional", "fourier_scale": 2.0}, "positional"),
    "resamp_with_conv": ({"resamp_with_conv": False}, "residual blocks change the resolution"),
}


@pytest.mark.parametrize("name", IDLE)
def test_an_option_without_effect_is_said(name):
    options, reason = IDLE[name]
    with pytest.warns(UserWarning, match=f"the network option {name} has no effect .*{reason}"):
        nnx.eval_shape(lambda: NCSNpp(8, 1, nf=8, ch_mult=(1, 2), **options, rngs=nnx.Rngs(0)))


def test_adm_says_what_it_does_not_use():
    """Heads in the decoder beside a width of heads; attention too narrow for one head, which the original drops."""

    def build(**options):
        small = {"nf": 32, "ch_mult": (1, 2), "attn_resolutions": (8,)}
        return nnx.eval_shape(lambda: ADM(8, 1, **small, **options, rngs=nnx.Rngs(0)))

    with pytest.warns(UserWarning, match="the network option up_heads has no effect beside head_channels = 16"):
        build(head_channels=16, up_heads=2)
    with pytest.warns(UserWarning, match=r"attention at 8 pixels has 32 channels, fewer than head_channels = 64"):
        network = build(head_channels=64)
    assert network.encoder.levels[0].attentions[0].heads == 1
