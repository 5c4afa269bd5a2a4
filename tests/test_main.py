"""main.py as a user types it: train, evaluate, sample, and every mistake told in a paragraph."""

import json
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from score_sde.config.fields import override

import score_sde as ss
from score_sde.config import check, complete, differences
from tests.interop.originals import ROWS, Original
from tests.training import toy

TOY = "--config=tests/training/toy.py"


@pytest.fixture(scope="module")
def main(tmp_path_factory):
    """A function that runs main.py with a compilation cache that these tests share."""
    cache = tmp_path_factory.mktemp("cache")

    def run(*arguments: str, program: str | Path = "main.py") -> subprocess.CompletedProcess:
        command = [sys.executable, str(program), f"--compilation_cache={cache}", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)

    return run


@pytest.fixture(scope="module")
def workdir(main, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "toy"
    done = main(TOY, f"--workdir={folder}", "--config.training.n_iters=30")
    assert done.returncode == 0, done.stderr
    assert "done at step 30" in done.stdout
    assert "step 30/30  loss" in done.stderr
    return folder


def test_eval(main, workdir):
    done = main(f"--workdir={workdir}", "--mode=eval", "--config.eval.enable_bpd", "--config.eval.bpd_repeats=1",
                "--config.data.options.size=100", "--replace_config", "--eval_folder=results")  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads((workdir / "results" / "30.json").read_text())
    assert 0 < report["loss"] < 3
    assert report["images"] == report["likelihood"]["images"] == 100
    assert report["likelihood"]["unit"] == "nats/dim"
    assert f"{report['likelihood']['mean']:.4f}" in done.stdout


def test_sample(main, workdir):
    done = main(f"--workdir={workdir}", "--mode=sample", "--num_samples=12", "--config.sampling.options.steps=3")
    assert done.returncode == 0, done.stderr
    with np.load(workdir / "eval" / "samples_30.npz") as arrays:
        data = arrays["data"]
    run = ss.load(workdir)
    out = ss.samplers.ddim(run.model, jax.random.key(7), 12, (2,), steps=3)
    np.testing.assert_allclose(data, run.to_images(out.x), rtol=1e-4, atol=1e-5)
    assert (workdir / "eval" / "samples_30.png").exists()


MISTAKES = {
    "no config": ((), "give --config=FILE"),
    "no such file": (("--config=nowhere.py",), "there is no config file nowhere.py"),
    "unknown mode": ((TOY, "--mode=trian"), "train|eval|sample"),
    "unknown field": ((TOY, "--config.training.batchsize=3"), "did you mean config.training.batch_size?"),
    "wrong type": ((TOY, "--config.training.batch_size=many"), "batch_size = 'many'; it must be of type int"),
    "batch size": ((TOY, "--config.training.batch_size=30", "--config.training.accumulate=4"), "multiple of 4"),
    "unknown source": ((TOY, "--config.data.dataset=moon"), "did you mean 'moons'?"),
    "wrong shape": ((TOY, "--config.data.dataset=digits"), "examples of shape (8, 8, 1), but config.data says (2,)"),
    "no classes": ((TOY, "--config.model.num_classes=3"), "has no labels; set model.num_classes = None"),
    "unwritable": ((TOY, "--workdir=/proc/nowhere"), "cannot write to workdir = /proc/nowhere"),
    "stray word": ((TOY, "evaluate"), "'evaluate' is no option"),
}


@pytest.mark.parametrize(("arguments", "message"), MISTAKES.values(), ids=MISTAKES.keys())
def test_mistakes(main, tmp_path, arguments, message):
    where = () if any("workdir" in a for a in arguments) else (f"--workdir={tmp_path / 'run'}",)
    done = main(*where, *arguments)
    assert done.returncode not in (0, 75)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr) < 2500


def test_the_workdir_of_another_config(main, workdir):
    done = main(TOY, f"--workdir={workdir}", "--config.optim.lr=0.5")
    assert done.returncode == 1
    assert "config.optim.lr: 0.001 there, 0.5 here" in done.stderr
    assert "--replace_config" in done.stderr


def test_help_is_readable(main):
    done = main("--help")
    assert "--workdir" in done.stdout
    assert "--mode: <train|eval|sample>" in done.stdout
    assert done.returncode == 0
    assert "Exit codes: 0 done" in done.stdout


MOCKED = """
import sys
import tensorflow_datasets as tfds
from score_sde.cli import main

with tfds.testing.mock_data(num_examples=16):
    main(sys.argv)
"""
SMALL = {"model.nf": 8, "model.ch_mult": (1,), "model.attn_resolutions": (), "model.num_res_blocks": 1}
SMALL |= {"training.n_iters": 3, "training.batch_size": 8, "training.snapshot_sampling": False}


@pytest.mark.parametrize(
    "name", ["ve/cifar10_ncsnpp_continuous", pytest.param("vp/ddpm/cifar10", marks=pytest.mark.slow)]
)
def test_an_original_config_file_trains(main, tmp_path, name):
    """As it is, on mocked CIFAR-10, with a network made small by the command line."""
    pytest.importorskip("tensorflow_datasets")
    row = ROWS[name]
    (tmp_path / "config.py").write_text(Original(row.defaults, row.fields).text())
    (tmp_path / "mocked.py").write_text(MOCKED)
    fields = SMALL | ({"model.nf": 32} if "ddpm" in name else {})
    overrides = [f"--config.{field}={value}" for field, value in fields.items()]
    run = tmp_path / "run"
    done = main(f"--config={tmp_path / 'config.py'}", f"--workdir={run}", *overrides, program=tmp_path / "mocked.py")
    assert done.returncode == 0, done.stderr
    assert "done at step 3" in done.stdout
    assert (ss.load(run).step, ss.load(run).config.data.dataset) == (3, "CIFAR10")


class TestFields:
    """What a config may say."""

    def test_every_config_of_the_repository_passes(self):
        from score_sde.config.files import read

        files = [file for file in Path("configs").rglob("*.py") if file.name != "default.py"]
        assert len(files) >= 29
        for file in files:
            config = complete(read(file))
            check(config)
            assert differences(config, complete(config)) == []

    def test_unknown_fields_get_the_nearest_name(self):
        config = toy.get_config()
        config.training.batchsize = 3
        override(config, "optim.lr", "fast")
        override(config, "trainin.x", "1")
        with pytest.raises(ValueError, match=r"did you mean config\.training\.batch_size") as error:
            check(config)
        assert "config.optim.lr = 'fast'; it must be of type float" in str(error.value)
        assert "config.trainin is unknown; did you mean config.training?" in str(error.value)

    def test_overrides_have_the_type_of_their_field(self):
        config = complete(toy.get_config())
        for path, text, value in [
            ("optim.lr", "1", 1.0),
            ("model.num_classes", "10", 10),
            ("model.ch_mult", "1,2", (1, 2)),
            ("training.stratified", "true", True),
            ("data.dataset", "123", "123"),
            ("data.options.size", "50", 50),
            ("data.options.path", "a/b", "a/b"),
            ("training.weighting", "edm", "edm"),
            ("training.weighting", "None", None),
        ]:
            override(config, path, text)
            check(config)
            section, _, rest = path.partition(".")
            found = config[section]
            for name in rest.split("."):
                found = found[name]
            assert (found, type(found)) == (value, type(value)), path

    def test_differences(self):
        one, other = complete(toy.get_config()), complete(toy.get_config())
        assert differences(one, other) == []
        other.optim.lr = 1.0
        assert differences(one, other) == ["config.optim.lr: 0.001 there, 1.0 here"]
