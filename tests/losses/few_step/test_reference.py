"""Losses against the original codes of consistency models, easy consistency tuning and MeanFlow."""

import dataclasses
import importlib
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import score_sde as ss
from score_sde import pytree
from score_sde.checks import per_sample
from score_sde.flow_map import FlowMap
from score_sde.losses import few_step
from score_sde.losses.few_step import maps
from score_sde.losses.few_step.parts import Point

consistency_losses = importlib.import_module("score_sde.losses.few_step.consistency")
REFERENCE = Path(__file__).resolve().parents[4] / "shared" / "reference"
pytestmark = pytest.mark.skipif(not REFERENCE.exists(), reason="the reference data are not on this machine")
EDM = ss.EDM()


def arrays(folder, name):
    with np.load(REFERENCE / folder / name) as stored:
        return dict(stored)


def cases(folder, name):
    index = json.loads((REFERENCE / folder / "index.json").read_text())
    return next(entry for entry in index["files"] if entry["file"] == name)["cases"]


@dataclasses.dataclass(frozen=True)
class Tiny:
    """F(x, c) = tanh(W x + b cos(k c) + v sin(k c))."""

    W: jax.Array
    b: jax.Array
    v: jax.Array
    k: float = dataclasses.field(metadata={"static": True})

    def __call__(self, x, level, condition=None, *, dropout_keys=None):
        c = self.k * level[:, None]
        told = self.b * jnp.cos(c) + self.v * jnp.sin(c)
        return jnp.tanh(x @ self.W.T + told[:, None, None])


pytree.register(Tiny, static_unless_told=False)


@dataclasses.dataclass(frozen=True)
class Boundary(FlowMap):
    """The original's f = c_skip x + c_out F(c_in x, c), with σ − σ_min in c_skip and in the numerator of c_out."""

    network: Tiny
    level: object = dataclasses.field(metadata={"static": True})

    def __call__(self, x, t, s, condition=None):
        d, shifted = 0.5, t - self.sde.t_min
        root = jnp.sqrt(t**2 + d**2)
        skip, out, scale = (per_sample(c, x) for c in (d**2 / (shifted**2 + d**2), shifted * d / root, 1 / root))
        return skip * x + out * self.network(scale * x, self.level(self.sde, t))


def torch_level(sde, t):
    return 250 * jnp.log(t + 1e-44)


def jax_level(sde, t):
    return 0.25 * jnp.log(t)


def net(stored, which, k):
    return Tiny(*(jnp.asarray(stored[f"net_{which}_{name}"]) for name in "Wbv"), k)


def last(x):
    return jnp.asarray(np.moveaxis(x, 1, -1) if x.shape[1] == 3 else x)


def compare(function, network, expected, prefix, loss_tolerance, gradient_tolerance):
    """The mean loss and its gradient with respect to W, b, v."""
    values, pull = jax.vjp(function, network)
    want = expected[f"{prefix}/loss"]
    np.testing.assert_allclose(values if want.ndim else jnp.mean(values), want, rtol=loss_tolerance)
    (gradient,) = pull(jnp.full(len(values), 1 / len(values), values.dtype))
    for field in dataclasses.fields(network):
        if field.name == "k":
            continue
        own, theirs = np.asarray(getattr(gradient, field.name)), expected[f"{prefix}/grad_{field.name}"]
        assert np.linalg.norm(own - theirs) < gradient_tolerance * np.linalg.norm(theirs)


@pytest.fixture
def given(monkeypatch):
    """Put the draws of the reference in the place of those from keys."""

    def put(part, noise):
        monkeypatch.setattr(consistency_losses, "noise_of", lambda x0, keys: noise)
        monkeypatch.setattr(consistency_losses, "uniforms", lambda keys: jnp.stack([part] * 3))

    return put


@pytest.mark.parametrize("name", ["cd_l2", "ct_l2"])
def test_consistency_models(name, given):
    stored = arrays("consistency", "karras_losses.npz")
    levels = cases("consistency", "karras_losses.npz")[name]["num_scales"]
    given((stored[f"{name}/indices"] + 0.5) / (levels - 1), last(stored["noise"]))
    teacher = ss.NetworkDenoiser(EDM, net(stored, "teacher", 0.01), predicts="edm", noise_level=torch_level)
    options = {"target": Boundary(EDM, net(stored, "target", 0.01), torch_level), "points": levels}
    options["teacher"] = teacher if name == "cd_l2" else None
    x0 = last(stored["x_start"])
    keys = jax.random.split(jax.random.key(0), len(x0))

    def loss(network):
        return few_step.consistency(Boundary(EDM, network, torch_level), x0, keys, **options)

    compare(loss, net(stored, "model", 0.01), stored, name, 2e-4, 2e-4)


@pytest.mark.parametrize("name", ["cd_heun_l2", "ct_euler_l2"])
def test_consistency_models_in_jax(name, given):
    stored = arrays("consistency", "jcm_losses.npz")
    levels = cases("consistency", "jcm_losses.npz")[name]["num_scales"]
    given((stored[f"{name}/draw_0_randint"] + 0.5) / (levels - 1), jnp.asarray(stored[f"{name}/draw_1_normal"]))
    teacher = ss.NetworkDenoiser(EDM, net(stored, "teacher", 10.0), predicts="edm", noise_level=jax_level)
    options = {"target": Boundary(EDM, net(stored, "target", 10.0), jax_level), "points": levels}
    options["teacher"] = teacher if name.startswith("cd") else None
    x0 = jnp.asarray(stored["image"])
    keys = jax.random.split(jax.random.key(0), len(x0))

    def loss(network):
        return few_step.consistency(Boundary(EDM, network, jax_level), x0, keys, **options)

    compare(loss, net(stored, "model", 10.0), stored, name, 3e-4, 5e-4)


@pytest.mark.parametrize("name", ["schedule1", "schedule2"])
def test_the_number_of_levels_grows_as_published(name):
    stored, case = arrays("consistency", "karras_schedules.npz"), cases("consistency", "karras_schedules.npz")[name]
    levels = few_step.growing(case["total_steps"], case["start_scales"], case["end_scales"])
    with jax.enable_x64(True):
        np.testing.assert_array_equal(levels(stored[f"{name}/step"]), stored[f"{name}/num_scales"])


@pytest.mark.parametrize("stage", [0, 1, 3, 7])
@pytest.mark.parametrize(("name", "k"), [("sigmoid", 8.0), ("const", 0.0)])
def test_the_levels_of_easy_consistency_tuning(name, k, stage):
    stored = arrays("consistency", "ect_losses.npz")
    found = np.maximum(consistency_losses.nearer_level(jnp.asarray(stored["t"]), stage, 2.0, k), 0)
    np.testing.assert_allclose(found, stored[f"r_{name}_stage{stage}"], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("name", "stage", "q", "k", "c"),
    [("default_s0", 0, 2.0, 8.0, 0.0), ("default_s4", 4, 2.0, 8.0, 0.0), ("huber", 1, 4.0, 8.0, 0.03)],
)
def test_easy_consistency_tuning(name, stage, q, k, c, given):
    """With a small t_min, for the original's map leads to t = 0."""
    stored, sde = arrays("consistency", "ect_losses.npz"), ss.EDM(t_min=1e-6, t_min_sampling=1e-6, t_max=1e4)
    normal = stored[f"ecm_{name}/rnd_t"].ravel()
    given(jax.scipy.stats.norm.cdf(normal), last(stored[f"ecm_{name}/eps"]))
    x0 = last(stored["images"])
    keys = jax.random.split(jax.random.key(0), len(x0))
    options = {"step": stage, "every": 1, "q": q, "k": k, "distance": few_step.pseudo_huber(c)}

    def loss(network):
        two = lambda x, levels, condition=None, *, dropout_keys=None: network(x, levels[:, 0])  # noqa: E731
        model = ss.flow_map.NetworkFlowMap(sde, jax.tree_util.Partial(two), predicts="edm")
        return few_step.easy_consistency(model, x0, keys, **options)

    compare(loss, net(stored, "model", 10.0), stored, f"ecm_{name}", 1e-3, 2e-3)


@dataclasses.dataclass(frozen=True)
class TinyMean:
    """u = tanh(W x + b cos(3 t) + d sin(2 (t − s)) + E[y])."""

    W: jax.Array
    b: jax.Array
    d: jax.Array
    E: jax.Array

    def __call__(self, x, levels, condition=None, *, dropout_keys=None):
        t, s = levels[:, :1], levels[:, 1:]
        told = self.b * jnp.cos(3 * t) + self.d * jnp.sin(2 * (t - s)) + self.E[condition["label"]]
        return jnp.tanh(x @ self.W.T + told[:, None, None])


pytree.register(TinyMean, static_unless_told=False)


def time_itself(sde, t):
    return t


def mean_map(network):
    return ss.flow_map.NetworkFlowMap(ss.FlowMatching(), network, predicts="velocity", noise_level=time_itself)


@pytest.mark.parametrize(
    ("name", "law", "share", "power", "epsilon", "dropout"),
    [("plain", "normal", 0.75, 1.0, 0.01, 0.1), ("norm_p_half_uniform", "uniform", 0.25, 0.5, 1e-3, 0.0)],
)
def test_mean_flow(name, law, share, power, epsilon, dropout, monkeypatch):
    stored = arrays("meanflow", "meanflow_losses.npz")
    one, other = (stored[f"{name}/draw_{i}_{law}"].ravel() for i in (0, 1))
    if law == "normal":
        one, other = (1 / (1 + np.exp(-(z - 0.4))) for z in (one, other))
    t, s = np.maximum(one, other), np.minimum(one, other)
    n = len(t)
    s[: int(share * n)] = t[: int(share * n)]
    label = stored["labels"].copy()
    if dropout:
        label[: int((stored[f"{name}/draw_3_uniform"] < dropout).sum())] = 5
    noise, x0 = jnp.asarray(stored[f"{name}/draw_2_normal"]), jnp.asarray(stored["images"])
    point = Point((1 - per_sample(t, x0)) * x0 + per_sample(t, x0) * noise, jnp.asarray(t), jnp.asarray(s), noise)
    monkeypatch.setattr(maps, "point_of", lambda *arguments: point)
    keys, distance = jax.random.split(jax.random.key(0), n), few_step.adaptive(power, epsilon)

    def loss(network):
        return few_step.mean_flow(mean_map(network), x0, keys, {"label": jnp.asarray(label)}, distance=distance)

    compare(loss, TinyMean(*(jnp.asarray(stored[f"net_{p}"]) for p in "WbdE")), stored, name, 1e-4, 3e-4)


@pytest.mark.parametrize("name", ["one", "two", "four"])
def test_the_sampler_of_mean_flow(name):
    stored = arrays("meanflow", "meanflow_sampler.npz")
    grid = stored[f"t_steps_{name}"].astype(float)
    assert grid[0] == 1
    assert grid[-1] == 0
    network, z = TinyMean(*(jnp.asarray(stored[f"net_{p}"]) for p in "WbdE")), jnp.asarray(stored["z"])
    sde = ss.FlowMatching(t_min=1e-7, t_min_sampling=1e-7, t_max_sampling=1.0)
    model = ss.flow_map.NetworkFlowMap(sde, network, predicts="velocity", noise_level=time_itself)
    out = ss.samplers.few_step(
        model,
        jax.random.key(0),
        len(z),
        z.shape[1:],
        time_grid=np.clip(grid, 1e-7, 1),
        x_init=z,
        condition={"label": jnp.asarray(stored["labels"])},
    )
    np.testing.assert_allclose(out.x, stored[f"sample_{name}"], atol=2e-5)
