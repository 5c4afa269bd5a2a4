"""Five steps of training are the original's: losses, learning rates, gradient norms, weights, averages."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from score_sde import losses
from score_sde.experiment import Experiment, Run
from score_sde.interop import from_score_sde_pytorch, read_config, to_score_sde_pytorch
from score_sde.training.state import TrainState
from score_sde.training.step import make_train_step
from score_sde.training.task import Task
from tests.interop.originals import ROWS, Original
from tests.networks.quick import quick_jit


class AtGivenTimes(Task):
    """The denoising loss at the reference's own times and noise."""

    def loss(self, context, batch, keys):
        x0, t, noise = batch
        return losses.denoising_at(context.model, x0, t, noise), {}


@pytest.mark.filterwarnings("ignore:fields of the config")
def test_five_steps(reference, tmp_path):
    arrays, entry = reference("training/trajectory.npz")
    row = ROWS[entry["config"]]
    file = tmp_path / "config.py"
    file.write_text(Original(row.defaults, row.fields | entry["overrides"]).text())
    config = read_config(file)
    init = {name.removeprefix("init/"): value for name, value in arrays.items() if name.startswith("init/")}
    run = from_score_sde_pytorch(init, config)

    optimizer, rate = run.experiment.optimizer()
    averages = run.experiment.averages
    step = quick_jit(make_train_step(AtGivenTimes(), optimizer, averages))
    state = TrainState.create(run.model, optimizer, averages)
    keys = jax.random.split(jax.random.key(0), 4)
    found = []
    with jax.default_matmul_precision("highest"):
        for k in range(5):
            x0, noise = (jnp.asarray(arrays[name][k].transpose(0, 2, 3, 1)) for name in ("batches", "z"))
            assert float(rate(jnp.array(k))) == pytest.approx(float(arrays["lr"][k]), rel=1e-6)
            state, metrics = step(state, {}, (x0, jnp.asarray(arrays["t"][k]), noise), keys)
            found.append((float(metrics["loss"]), float(metrics["grad_norm"])))
    np.testing.assert_allclose([loss for loss, _ in found], arrays["loss"], rtol=1e-4)
    np.testing.assert_allclose([norm for _, norm in found], arrays["grad_norm"], rtol=1e-3)
    assert min(arrays["grad_norm"]) > 1  # every step was clipped

    for ours, theirs in (("raw", "final/"), ("ema", "ema/")):
        exported = to_score_sde_pytorch(Run(state.model(ours), run.experiment))
        names = [name for name in arrays if name.startswith(theirs) and "NIN_1.b" not in name]
        errors = np.concatenate([np.abs(exported[n.removeprefix(theirs)] - arrays[n]).ravel() for n in names])
        moved = np.concatenate([np.abs(init[n.removeprefix(theirs)] - arrays[n]).ravel() for n in names])
        assert len(names) > 250
        assert np.median(moved) > 1e-3
        assert np.quantile(errors, 0.999) < 1e-5
        assert errors.max() < 5e-4


def test_the_configs_own_schedule(reference, tmp_path):
    """Warm-up over 5000 steps begins with a rate of 0."""
    arrays, entry = reference("training/trajectory_as_configured.npz")
    row = ROWS[entry["config"]]
    file = tmp_path / "config.py"
    file.write_text(Original(row.defaults, row.fields).text())
    with pytest.warns(UserWarning, match="fields of the config"):
        config = read_config(file)
    _, rate = Experiment.of(config).optimizer()
    np.testing.assert_allclose([float(rate(jnp.array(k))) for k in range(5)], arrays["lr"], rtol=1e-6)
