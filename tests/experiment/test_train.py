"""A whole training: what it leaves behind, that it goes on exactly, and how it ends."""

import json
import os
import random
import signal
import subprocess
import sys
import time
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

import score_sde as ss
from score_sde import checkpoints, parameters
from score_sde.checkpoints import store
from score_sde.training.loop import Diverged
from score_sde.training.metrics import read
from tests.training import toy


def trained(workdir, *, preview=0, loss=None, **training):
    """The toy's training with other numbers; the arrays of its newest checkpoint."""
    config = toy.get_config()
    config.training.update(training)
    config.logging.preview = preview
    if loss is not None:
        config.loss = ConfigDict({"name": loss})
    ss.train(config, workdir, replace_config=True)
    return saved(workdir)


def saved(workdir):
    """All that the newest checkpoint holds."""
    return store.load_arrays(store.newest_whole(workdir / "checkpoints")[0])


@pytest.fixture(scope="module")
def through(tmp_path_factory):
    """A run of 60 steps without a break: (workdir, what its last checkpoint holds)."""
    workdir = tmp_path_factory.mktemp("through") / "run"
    return workdir, trained(workdir, preview=16)


def assert_same(one, other):
    """To the last bit."""
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_a_run_leaves(through):
    workdir, state = through
    assert int(state["counters"]["step"]) == 60
    assert store.steps(workdir / "checkpoints") == [50, 60]  # the newest two
    assert checkpoints.snapshots(workdir) == [30, 60]
    assert set(store.load_arrays(workdir / "snapshots" / "30")) == {"raw", "ema"}
    lines = read(workdir)
    assert [line["step"] for line in lines if "loss" in line] == [10, 20, 30, 40, 50, 60]
    assert [line["step"] for line in lines if "eval_loss" in line] == [20, 40, 60]
    assert lines[-2]["loss"] < lines[0]["loss"]
    assert {"grad_norm", "param_norm", "lr", "skipped"} <= set(lines[0])
    for file in ("samples/30.png", "samples/60.png", "reports/loss.png", "reports/loss_per_level.png", "config.json"):
        assert (workdir / file).stat().st_size > 500, file
    launch = json.loads((workdir / "launches.jsonl").read_text())
    assert launch["versions"]["jax"] == jax.__version__
    assert launch["devices"]


def test_a_run_can_be_loaded(through):
    workdir, state = through
    run = ss.load(workdir)
    assert (run.step, run.weights, run.steps) == (60, "ema", [30, 50, 60])
    for weights in ("ema", "raw"):
        trained, constants, _ = parameters.split(ss.load(workdir, weights=weights).model)
        assert_same(trained | constants, state[weights])
    assert ss.load(workdir, step=30).step == 30
    out = run.sample(jax.random.key(0), 4)
    assert out.x.shape == (4, 2)
    assert run.to_images(out.x).shape == (4, 2)
    with pytest.raises(ValueError, match="weights = 'best'; the checkpoint of step 60 has 'raw', 'ema'"):
        ss.load(workdir, weights="best")


def test_a_schedule_with_a_leaf_is_trained_saved_and_loaded(tmp_path):
    config = toy.get_config()
    config.sde = ConfigDict({"name": "tests.experiment.learned:learned", "rate": 3.0})
    config.training.steps, config.logging.preview = 20, 0
    run = ss.train(config, tmp_path / "run")
    assert float(run.model.sde.rate) != 3.0
    loaded = ss.load(tmp_path / "run")
    assert float(loaded.model.sde.rate) == float(run.model.sde.rate)
    assert "raw/sde.rate" in store.shapes(tmp_path / "run" / "checkpoints" / "20")
    assert loaded.sample(jax.random.key(0), 4).x.shape == (4, 2)


def test_going_on_is_as_if_never_stopped(through, tmp_path):
    _, state = through
    trained(tmp_path / "run", steps=23)
    resumed = trained(tmp_path / "run")
    assert_same(resumed, state)
    losses = [line for line in read(tmp_path / "run") if "loss" in line]
    assert [line["step"] for line in losses] == [10, 20, 23, 30, 40, 50, 60]


def test_steps_in_one_call_are_the_same_steps(through, tmp_path):
    _, state = through
    for one, other in zip(
        jax.tree.leaves(trained(tmp_path / "run", steps_per_call=4)), jax.tree.leaves(state), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_a_damaged_checkpoint_is_passed_over(through, tmp_path):
    _, state = through
    trained(tmp_path / "run", steps=40)
    for folder in ("checkpoints", "snapshots"):
        if (tmp_path / "run" / folder / "40").exists():
            (tmp_path / "run" / folder / "40" / store.MANIFEST).write_text("{")
    with pytest.warns(UserWarning, match="the one before it is used"):
        assert ss.load(tmp_path / "run").step == 30
    with pytest.warns(UserWarning, match="set aside"):
        assert_same(trained(tmp_path / "run"), state)


def test_hooks(tmp_path):
    seen = []
    config = toy.get_config()
    config.training.steps = 12
    hook = (4, lambda state, run: seen.append((int(state.step), run.step, run.sample(jax.random.key(0), 2).x.shape)))
    ss.train(config, tmp_path / "run", hooks=[hook])
    assert seen == [(4, 4, (2, 2)), (8, 8, (2, 2)), (12, 12, (2, 2))]


def nan_loss(model, x0, keys, condition):
    """For configs: a loss that is finite for large networks' outputs only, that is never."""
    return jnp.full(len(x0), jnp.nan) * ss.losses.denoising(model, x0, keys, condition)


def test_a_training_that_diverges_says_where(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(Diverged, match=r"not been finite since step 0 \(20 steps; .*max_skipped = 20\)"):
            trained(tmp_path / "run", loss="tests.experiment.test_train:nan_loss", max_skipped=20)
    assert store.steps(tmp_path / "run" / "checkpoints") == [10, 20]


def test_a_full_disk_does_not_stop_a_training(tmp_path, monkeypatch, capsys):
    real, count = store.ocp.save_async, iter(range(100))

    def sometimes_full(*arguments, **options):
        if next(count) == 1:
            raise OSError(28, "No space left on device")
        return real(*arguments, **options)

    monkeypatch.setattr(store.ocp, "save_async", sometimes_full)
    trained(tmp_path / "run", snapshot_every=100, steps=30)
    assert store.steps(tmp_path / "run" / "checkpoints") == [10, 30]
    assert "the checkpoint of step 20 could not be written" in capsys.readouterr().err


def start(workdir, cache):
    command = [sys.executable, "main.py", "--config=tests/training/toy.py", f"--workdir={workdir}"]
    return subprocess.Popen(
        [*command, "--config.logging.preview=0", f"--compilation_cache={cache}"],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_signal_saves_and_ends_with_its_own_code(tmp_path):
    command = [sys.executable, "main.py", "--config=tests/training/toy.py", f"--workdir={tmp_path / 'run'}"]
    command += ["--config.training.steps=1000000", f"--compilation_cache={tmp_path / 'cache'}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: read(tmp_path / "run"), process)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 75, err
    assert "stopped at step" in out
    step = ss.load(tmp_path / "run").step
    assert f"stopped at step {step}" in out


def wait_for(condition, process, seconds=240):
    ends = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < ends, "the run made no progress"
        time.sleep(0.02)


@pytest.mark.parametrize("kills", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_killed_at_random_moments_it_ends_as_if_never_killed(tmp_path, kills):
    """SIGKILL, also while a checkpoint is being written. SOAK_KILLS in the environment asks for more of them."""
    kills = max(kills, int(os.environ.get("SOAK_KILLS", "0")))
    cache, dice = tmp_path / "cache", random.Random(kills)
    process = start(tmp_path / "through", cache)
    assert process.wait(timeout=300) == 0, process.stderr.read()
    folder = tmp_path / "killed" / "checkpoints"
    for kill in range(kills):
        process = start(tmp_path / "killed", cache)
        target = min(10 * (1 + kill * 5 // kills), 50)
        wait_for(lambda: any(folder.glob(f".{target}.part*")) or (folder / str(target)).exists(), process)  # noqa: B023
        time.sleep(dice.uniform(0, 0.05))
        process.kill()
        process.communicate()
    process = start(tmp_path / "killed", cache)
    assert process.wait(timeout=300) == 0, process.stderr.read()
    one, other = (store.load_arrays(tmp_path / run / "checkpoints" / "60") for run in ("through", "killed"))
    assert_same(one, other)
    assert store.check(folder / "60")["data"] == {"step": 60}
    assert set(one) == {"raw", "ema", "optimizer", "memory", "counters"}
