"""The promises of every sampler: independence, counts, starting anywhere, recording, one compilation, clear errors."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import score_sde as ss
from tests import flags
from tests.samplers.truth import SDES, mixture

S, KEY = ss.samplers, jax.random.key(3)
SDE = ss.VP()
MODEL = mixture().denoiser(SDE)
SAMPLERS = {
    "pc": lambda *a, **k: S.predictor_corrector(*a, steps=6, corrector=S.Langevin(0.16), **k),
    "annealed": lambda *a, **k: S.annealed_langevin(*a, levels=6, steps=2, **k),
    "reverse_sde": lambda *a, **k: S.reverse_sde(*a, steps=6, rule="heun", **k),
    "ddim": lambda *a, **k: S.ddim(*a, steps=6, eta=1.0, **k),
    "heun": lambda *a, **k: S.heun(*a, steps=6, s_churn=3.0, **k),
    "dpm_solver": lambda *a, **k: S.dpm_solver(*a, steps=6, order=4, **k),
    "dpm_solver sde": lambda *a, **k: S.dpm_solver(*a, steps=6, order=2, stochasticity=1.0, **k),
    "unipc": lambda *a, **k: S.unipc(*a, steps=6, **k),
    "ode": lambda *a, **k: S.ode(*a, rtol=1e-6, atol=1e-6, **k),
    "adaptive_sde": lambda *a, **k: S.adaptive_sde(*a, rtol=0.01, atol=0.01, **k),
}
FIXED = [name for name in SAMPLERS if name not in ("ode", "adaptive_sde")]


@pytest.fixture(params=SAMPLERS)
def sampler(request):
    return SAMPLERS[request.param]


def test_sample_i_depends_on_key_and_i_alone(sampler):
    """To rounding; where steps are chosen by the error, rounding may change them, which moves x by a few tolerances
    (0.025 on one processor, less on another); another path would move it by 1.
    """
    atol = 0.1 if sampler is SAMPLERS["adaptive_sde"] else 1e-4
    all_ = sampler(MODEL, KEY, 6, (2,))
    part = sampler(MODEL, KEY, 3, (2,), start=2)
    np.testing.assert_allclose(part.x, all_.x[2:5], atol=atol)
    chosen = sampler(MODEL, KEY, 3, (2,), start=jnp.array([5, 0, 3]))
    np.testing.assert_allclose(chosen.x, all_.x[jnp.array([5, 0, 3])], atol=atol)
    assert (np.asarray(part.index) == [2, 3, 4]).all()
    assert (np.asarray(all_.failed_at) == -1).all()
    assert int(all_.calls) >= int(np.max(all_.nfe))


def test_condition_start_and_record(sampler):
    """Each sample goes to the component that its condition names, from a state half way."""
    labels = jnp.array([0, 1, 2, 2])
    t = 0.3
    means = mixture().means[labels]
    x_t = SDE.perturb(means, t, jnp.zeros_like(means))
    out = sampler(
        MODEL, KEY, 4, (2,), condition={"label": labels}, x_init=x_t, time_grid=np.linspace(t, 1e-3, 7),
        record=S.trajectory, save_every=2,
    )  # fmt: skip
    assert (np.linalg.norm(np.asarray(out.x - means), axis=1) < 6 * np.asarray(mixture().stds)[labels]).all()
    assert out.record["x"].shape[1:] == out.record["x0"].shape[1:] == (4, 2)
    assert len(out.record["t"]) == len(out.record["x"]) in (3, 4)
    np.testing.assert_allclose(out.record["t"][0], t, rtol=1e-6)
    np.testing.assert_allclose(out.record["x"][0], x_t, atol=1e-6)
    x0 = MODEL.denoise(out.record["x"][1], out.record["t"][1], {"label": labels})
    np.testing.assert_allclose(out.record["x0"][1], x0, atol=1e-4)


def counting(sde):
    """A model that counts the batched calls which are really made."""
    calls = []
    exact = mixture().denoiser(sde)

    def score(x, t, condition):
        jax.experimental.io_callback(lambda _: calls.append(1), None, t)
        return exact.score(x, t)

    return ss.FunctionDenoiser(sde, score, predicts="score"), calls


@pytest.mark.parametrize("name", FIXED)
def test_calls_are_those_made(name):
    model, calls = counting(SDE)
    out = jax.block_until_ready(SAMPLERS[name](model, KEY, 2, (2,)))
    jax.effects_barrier()
    assert len(calls) == int(out.calls) == int(out.nfe[0])


def test_adaptive_calls_are_those_made():
    calls = []
    exact = mixture().denoiser(SDE)

    def score(x, t, condition):
        def note(x):
            calls.append(1)
            return x

        return exact.score(
            jax.pure_callback(note, jax.ShapeDtypeStruct(x.shape, x.dtype), x, vmap_method="expand_dims"), t
        )

    model = ss.FunctionDenoiser(SDE, score, predicts="score")
    out = jax.block_until_ready(S.ode(model, KEY, 8, (2,), final="none"))
    assert abs(len(calls) - int(out.calls)) <= 3  # a rejected first step repeats its first stage
    assert int(out.nfe.max()) == int(out.calls)
    assert len(set(np.asarray(out.nfe).tolist())) > 1


def test_traced_once_and_whatever_the_number_of_steps():
    traced = []

    def score(x, t, condition):
        traced.append(1)
        return MODEL.score(x, t)

    model = ss.FunctionDenoiser(SDE, score, predicts="score")
    S.ddim(model, KEY, 2, (2,), steps=5)
    first = len(traced)
    S.ddim(model, jax.random.key(9), 2, (2,), steps=5)
    assert len(traced) == first
    S.ddim(model, KEY, 2, (2,), steps=500)
    assert len(traced) == 2 * first


def test_inside_jit_vmap_free():
    jitted = jax.jit(lambda model, key: S.dpm_solver(model, key, 3, (2,), steps=8).x)
    np.testing.assert_allclose(jitted(MODEL, KEY), S.dpm_solver(MODEL, KEY, 3, (2,), steps=8).x, atol=1e-5)


@pytest.mark.parametrize("name", SDES)
def test_grids(name):
    sde, grids = SDES[name], S.grids
    for grid in (grids.uniform, grids.quadratic, grids.native, grids.karras, grids.log_snr):
        times = grid(sde, 10)
        assert times.shape == (11,)
        assert (np.diff(times) < 0).all()
        np.testing.assert_allclose(times[[0, -1]], [sde.t_max_sampling, sde.t_min_sampling], rtol=1e-9)
    with jax.enable_x64(True):
        np.testing.assert_allclose(np.diff(sde.log_snr(grids.log_snr(sde, 10)), 2), 0, atol=1e-6)
    if hasattr(sde, "num_scales"):
        levels = np.floor(grids.discrete(sde, 999).astype(np.float32) * np.float32(999)).astype(int)
        assert (levels == np.arange(999, -1, -1)).all()


def test_failures_are_reported_where_they_happen():
    def score(x, t, condition):
        bad = (t < 0.5) & (x[:, 0] > 0)
        return jnp.where(bad[:, None], jnp.nan, -x)

    model = ss.FunctionDenoiser(SDE, score, predicts="score")
    x_init = jnp.array([[-1.0, 0.0], [1.0, 0.0]])
    out = S.predictor_corrector(
        model, KEY, 2, (2,), predictor=S.EulerMaruyama(0.0), steps=10, time_grid=S.grids.uniform, x_init=x_init
    )
    assert out.failed_at.tolist() == [-1, 5] or out.failed_at.tolist() == [-1, 6]
    with pytest.warns(RuntimeWarning, match="sample 1 at step"):
        list(S.generate(model, KEY, 2, (2,), sampler=S.ddim, steps=10, x_init=x_init, progress=False))
    slow = S.ode(MODEL, KEY, 2, (2,), max_steps=3)
    assert (np.asarray(slow.failed_at) == 3).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: S.ddim(MODEL, KEY, 2, (2,), steps=0), "steps = 0"),
        (lambda: S.ddim(MODEL, KEY, 2, (2,), time_grid=np.array([0.1, 0.5, 0.9])), "does not decrease"),
        (lambda: S.ddim(MODEL, KEY, 2, (2,), time_grid=np.array([1.5, 0.5])), r"time_grid\[0\] = 1.5"),
        (lambda: S.ode(MODEL, KEY, 2, (2,), time_grid=np.array([1.0, 0.0])), r"\[t_min, t_max\]"),
        (lambda: S.ddim(MODEL, KEY, 2, (2,), time_grid=np.zeros((3, 2))), "time_grid has shape"),
        (lambda: S.dpm_solver(MODEL, KEY, 2, (2,), order=7), "order = 7"),
        (lambda: S.dpm_solver(MODEL, KEY, 2, (2,), order=4, coefficients="published"), "published"),
        (lambda: S.unipc(MODEL, KEY, 2, (2,), order=6), "order = 6"),
        (lambda: S.ddim(MODEL, KEY, 2, (2,), eta=1.5), "eta = 1.5"),
        (lambda: S.ddim(MODEL, KEY, 2, (2,), x_init=jnp.zeros((3, 2))), "x_init has shape"),
        (lambda: S.ddim(MODEL, KEY, 2, (2,), condition={"label": jnp.zeros(3, int)}), "label"),
        (lambda: S.ode(MODEL, KEY, 2, (2,), condition={"label": jnp.zeros(3, int)}), "label"),
        (lambda: S.reverse_sde(MODEL, KEY, 2, (2,), stochasticity=2.0), "stochasticity = 2.0"),
        (lambda: S.heun(MODEL, KEY, 2, (2,), s_churn=-1.0), "s_churn"),
        (lambda: S.Langevin(snr=-1.0), "snr = -1"),
        (lambda: S.ddim(MODEL, KEY, 0, (2,)), "n = 0"),
        (lambda: S.ode(MODEL, KEY, 2, (2,), rtol=0.0), "rtol = 0"),
        (lambda: S.generate(MODEL, KEY, 2, (2,), start=5), "start = 5"),
        (
            lambda: S.dpm_solver(
                mixture().denoiser(ss.FlowMatching()), KEY, 2, (2,), time_grid=np.array([1.0, 0.5, 0.1])
            ),
            "Begin at t_max_sampling",
        ),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


GENERATE = """
import jax, numpy as np, score_sde as ss
from tests.samplers.truth import mixture
S = ss.samplers
labels = np.arange(20) % 3
out = {}
for batch in (7, 64):
    for name, sampler, options in (("ddim", S.ddim, dict(steps=7, eta=1.0)), ("ode", S.ode, dict(rtol=1e-5))):
        parts = list(S.generate(mixture().denoiser(ss.VP()), jax.random.key(5), 20, (2,), sampler=sampler, start=3,
                                batch_size=batch, condition={"label": labels}, progress=True, **options))
        assert np.concatenate([p.index for p in parts]).tolist() == list(range(3, 20))
        out[f"{name}{batch}"] = np.concatenate([p.x for p in parts])
np.savez(OUT, devices=jax.device_count(), **out)
"""


def test_generate_is_the_same_on_any_batch_and_devices(tmp_path):
    results = {}
    for devices in (1, 8):
        file = tmp_path / f"{devices}.npz"
        environment = dict(os.environ, XLA_FLAGS=flags.devices(devices), JAX_PLATFORMS="cpu")
        root = Path(ss.__file__).parents[1]
        done = subprocess.run(
            [sys.executable, "-c", GENERATE.replace("OUT", repr(str(file)))],
            env=environment, cwd=root, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "sample 17/17" in done.stderr
        results[devices] = dict(np.load(file))
        assert results[devices]["devices"] == devices
    for name in ("ddim", "ode"):
        first = results[1][name + "7"]
        for devices in (1, 8):
            for batch in ("7", "64"):
                np.testing.assert_allclose(results[devices][name + batch], first, atol=5e-4)


def test_another_number_of_steps_compiles_a_handful_of_programs(caplog):
    """The grid, the plan and the loop, each as a whole and not operation by operation."""
    S.ddim(MODEL, KEY, 2, (2,), steps=37)
    with jax.log_compiles(), caplog.at_level("WARNING"):
        S.ddim(MODEL, KEY, 2, (2,), steps=38)
    compiled = [record.getMessage() for record in caplog.records if "Finished XLA compilation" in record.getMessage()]
    assert 1 <= len(compiled) <= 6, compiled


@dataclasses.dataclass(frozen=True)
class Planned(S.Method):
    """A method whose plan is given."""

    row: str

    def plan(self, sde, times):
        return {"t": times[:-1], self.row: times[1:]}


def test_a_plan_that_lacks_or_takes_a_row_is_refused():
    for row, message in (("r", r"Planned has no row \['s'\]"), ("step", "no row")):
        with pytest.raises(ValueError, match=message):
            S.solve(Planned(row), MODEL, KEY, 2, (2,), 3)
    with pytest.raises(ValueError, match=r'"step" of the plan of Both.*rename yours'):
        S.solve(Both("step"), MODEL, KEY, 2, (2,), 3)


class Both(Planned):
    """With every row that is needed."""

    def plan(self, sde, times):
        return super().plan(sde, times) | {"s": times[1:]}
