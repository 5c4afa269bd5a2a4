"""The original's checkpoints: the same scores straight from the file, after conversion, and there and back."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest

import score_sde as ss
from score_sde.experiment import experiment_of, save
from score_sde.formats import pth
from score_sde.interop import from_score_sde_pytorch, load_score_sde_pytorch
from score_sde.interop.export import export, to_score_sde_pytorch
from score_sde.interop.score_sde.checkpoints import averaged
from tests.conftest import REFERENCE
from tests.interop.originals import ROWS, Original
from tests.networks.quick import quick_jit

NAMES = {"ve_cifar10_ncsnpp_continuous": "ve/cifar10_ncsnpp_continuous"}
NAMES |= {"vp_cifar10_ddpmpp_continuous": "vp/cifar10_ddpmpp_continuous"}
CASES = ["ve_cifar10_ncsnpp_continuous", pytest.param("vp_cifar10_ddpmpp_continuous", marks=pytest.mark.slow)]


@pytest.fixture(params=CASES)
def case(request, reference, tmp_path):
    """Arrays, the .pth file, and an original config file with what was overridden."""
    arrays, entry = reference(f"checkpoints/{request.param}.npz")
    row = ROWS[NAMES[request.param]]
    config = tmp_path / "config.py"
    config.write_text(Original(row.defaults, row.fields | entry["overrides"]).text())
    return arrays, REFERENCE / entry["checkpoint"], config


score = quick_jit(lambda model, x, t: model.score(x, t))


def check_score(run, arrays, which):
    """Within the tolerances of the index."""
    x, t = jnp.asarray(arrays["x"].transpose(0, 2, 3, 1)), jnp.asarray(arrays["t"])
    with jax.default_matmul_precision("highest"):
        ours = np.asarray(score(run.model, x, t)).transpose(0, 3, 1, 2)
    theirs = arrays[f"score_{which}"]
    for one, other, t in zip(ours, theirs, arrays["t"], strict=True):
        error = (one - other) / other.std()
        # Below t = 0.02 their float32 standard deviation of VP is itself off by 1e-4.
        rms, largest = (5e-4, 1e-3) if t < 0.02 else (1e-4, 5e-4)
        assert np.sqrt((error**2).mean()) < rms
        assert np.abs(error).max() < largest


@pytest.mark.filterwarnings("ignore:fields of the config")
@pytest.mark.parametrize("weights", ["ema", "raw"])
def test_scores_straight_from_the_file(case, weights):
    arrays, checkpoint, config = case
    run = ss.interop.load_score_sde_pytorch(checkpoint, config, weights=weights)
    assert (run.step, run.weights) == (3, weights)
    check_score(run, arrays, weights)


@pytest.mark.filterwarnings("ignore:fields of the config")
def test_export_and_import_are_exact_inverses(case, tmp_path):
    _, checkpoint, config = case
    model = pth.read(checkpoint)["model"]
    run = load_score_sde_pytorch(checkpoint, config, weights="raw")
    exported = to_score_sde_pytorch(run)
    assert set(exported) | {"module.sigmas"} == set(
        model
    )  # their table of noise levels is no weight of a continuous model
    for name, value in exported.items():
        np.testing.assert_array_equal(value, model[name])
    for suffix in (".npz", ".safetensors", ".pth"):
        file = export(run, tmp_path / f"weights{suffix}")
        if suffix == ".npz":
            with np.load(file) as stored:
                back = dict(stored)
        elif suffix == ".pth":
            back = pth.read(file)["model"]
        else:
            from safetensors.numpy import load_file

            back = load_file(file)
        again = from_score_sde_pytorch(back, config)
        for one, other in zip(jax.tree.leaves(again.model), jax.tree.leaves(run.model), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.filterwarnings("ignore:fields of the config")
def test_convert_leaves_a_workdir_that_loads(case, tmp_path):
    _, checkpoint, config = case
    out = tmp_path / "runs" / "x"
    command = [sys.executable, "-m", "score_sde", "convert", checkpoint, f"--config={config}", f"--out={out}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "weights ema and raw" in done.stdout
    assert "config.device" in done.stderr  # what has no meaning here is said
    run = ss.load(out)
    assert (run.step, run.steps, run.weights) == (3, [3], "ema")
    for weights in ("ema", "raw"):
        loaded = ss.load(out, step=3, weights=weights)
        direct = load_score_sde_pytorch(checkpoint, config, weights=weights)
        for one, other in zip(jax.tree.leaves(loaded.model), jax.tree.leaves(direct.model), strict=True):
            np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match="has a checkpoint of step 3 already"):
        save(out, run.experiment, 3, {"ema": run.model})
    with pytest.raises(ValueError, match="no checkpoint of step 7; it has 3"):
        ss.load(out, step=7)
    with pytest.raises(ValueError, match="weights = 'best'"):
        ss.load(out, weights="best")


@pytest.mark.filterwarnings("ignore:fields of the config")
def test_a_discrete_ve_model_loads_and_samples(reference, tmp_path):
    """With its table of noise levels in float64, where the original crashes."""
    arrays, entry = reference("networks/ve_cifar10_ncsnpp.npz")
    row = ROWS["ve/cifar10_ncsnpp"]
    config = tmp_path / "config.py"
    config.write_text(Original(row.defaults, row.fields | entry["overrides"]).text())
    state = {name: value for name, value in arrays.items() if name.startswith("module.")}
    state["module.sigmas"] = state["module.sigmas"].astype(np.float64)
    run = from_score_sde_pytorch(state, config)
    out = run.sample(jax.random.key(0), 2, sampler=ss.samplers.predictor_corrector, steps=3)
    assert out.x.shape == (2, 32, 32, 3)
    assert np.isfinite(np.asarray(out.x)).all()
    assert out.failed_at.tolist() == [-1, -1]


@pytest.mark.filterwarnings("ignore:fields of the config")
class TestBadInput:
    @pytest.fixture
    def ve(self, reference, tmp_path):
        _, entry = reference("checkpoints/ve_cifar10_ncsnpp_continuous.npz")
        row = ROWS["ve/cifar10_ncsnpp_continuous"]
        config = tmp_path / "config.py"
        config.write_text(Original(row.defaults, row.fields | entry["overrides"]).text())
        return REFERENCE / entry["checkpoint"], config

    def test_another_architecture(self, ve):
        checkpoint, config = ve
        deeper = ss.interop.read_config(config)
        deeper.network.num_res_blocks = 8
        with pytest.raises(ValueError, match=r"nothing was loaded[\s\S]*likely cause"):
            load_score_sde_pytorch(checkpoint, deeper)

    def test_missing_averages(self, ve):
        whole = pth.read(ve[0])
        whole["ema"]["shadow_params"] = whole["ema"]["shadow_params"][:-3]
        with pytest.raises(ValueError, match=r"567 entries for 570 trained tensors[\s\S]*weights=\"raw\""):
            averaged(whole, "checkpoint_3.pth")
        whole["ema"]["shadow_params"] = pth.read(ve[0])["ema"]["shadow_params"][::-1]
        with pytest.raises(ValueError, match="not in the order of the model"):
            averaged(whole, "checkpoint_3.pth")

    def test_a_part_is_missing(self, ve, monkeypatch):
        whole = pth.read(ve[0])
        del whole["ema"]
        monkeypatch.setattr(pth, "read", lambda path: whole)
        with pytest.raises(ValueError, match="ema missing"):
            load_score_sde_pytorch("checkpoint_3.pth", ve[1])

    def test_unknown_weights_and_formats(self, ve, tmp_path):
        with pytest.raises((ValueError, TypeError), match="best"):  # the types checked in tests come first
            load_score_sde_pytorch(ve[0], ve[1], weights="best")
        with pytest.raises(ValueError, match=r"'\.bin'; allowed: \.npz"):
            export(load_score_sde_pytorch(*ve), tmp_path / "weights.bin")

    def test_folders_that_are_no_runs(self, tmp_path):
        with pytest.raises(ValueError, match="no folder"):
            ss.load(tmp_path / "none")
        with pytest.raises(ValueError, match=r"no workdir: it has no config\.json \(it holds nothing\)"):
            ss.load(tmp_path)
        (tmp_path / "config.json").write_text("{")
        with pytest.raises(ValueError, match="damaged"):
            ss.load(tmp_path)

    def test_a_half_written_checkpoint(self, ve, tmp_path):
        run = load_score_sde_pytorch(*ve)
        save(tmp_path / "x", run.experiment, 3, {"ema": run.model})
        assert ss.load(tmp_path / "x").step == 3
        for file in (tmp_path / "x" / "snapshots" / "3").rglob("*"):
            if file.is_file() and file.name not in ("commit_success.txt",):
                file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        with pytest.raises(ValueError, match="half-written or damaged"):
            ss.load(tmp_path / "x")
        other = ml_collections.ConfigDict(run.config.to_dict())
        other.seed = 43
        with pytest.raises(ValueError, match="another config"):
            save(tmp_path / "x", experiment_of(other), 4, {"ema": run.model})
