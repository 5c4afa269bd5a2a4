"""main.py as a user types it: train, evaluate, sample, and every mistake told in a paragraph."""

import json
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

import score_sde as ss
from tests.interop.originals import ROWS, Original

TOY = "--config=tests/training/toy.py"


@pytest.fixture(scope="module")
def main(tmp_path_factory):
    """A function that runs main.py with a compilation cache that these tests share."""
    cache = tmp_path_factory.mktemp("cache")

    def run(*arguments: str, program: str | Path = "main.py") -> subprocess.CompletedProcess:
        command = [sys.executable, str(program), *arguments, f"--compilation_cache={cache}"]
        return subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)

    return run


@pytest.fixture(scope="module")
def workdir(main, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "toy"
    done = main(TOY, f"--workdir={folder}", "--config.training.steps=30")
    assert done.returncode == 0, done.stderr
    assert "done at step 30" in done.stdout
    assert "step 30/30  loss" in done.stderr
    return folder


def test_eval(main, workdir):
    done = main(f"--workdir={workdir}", "--mode=eval", "--config.data.size=100", "--eval_folder=results")
    assert done.returncode == 0, done.stderr
    report = json.loads((workdir / "results" / "30.json").read_text())
    assert 0 < report["held_out_loss"]["mean"] < 3
    assert report["held_out_loss"]["examples"] == 100
    assert f"{report['held_out_loss']['mean']:.4f} ± " in done.stdout
    # Another evaluator later: what is there stays.
    done = main("eval", f"--workdir={workdir}", "--config.data.size=100", "--eval_folder=results",
                "--config.measures.bits_per_dim.repeats=1", program="-mscore_sde")  # fmt: skip
    assert done.returncode == 0, done.stderr
    more = json.loads((workdir / "results" / "30.json").read_text())
    assert more["bits_per_dim"]["unit"] == "nats/dim"
    assert f"bits_per_dim {more['bits_per_dim']['mean']:.4f}" in done.stdout
    assert more["held_out_loss"] == report["held_out_loss"]


def test_sample(main, workdir):
    done = main(f"--workdir={workdir}", "--mode=sample", "--num_samples=12", "--config.sampler.steps=3")
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
    "unknown mode": ((TOY, "--mode=trian"), "train|eval|sample|restore"),
    "unknown field": ((TOY, "--config.batches.batchsize=3"), "did you mean config.batches.batch_size?"),
    "wrong type": (
        (TOY, "--config.batches.batch_size=many"),
        "config.batches.batch_size = 'many'; it must be a whole number",
    ),
    "batch size": ((TOY, "--config.batches.batch_size=30", "--config.training.accumulate=4"), "multiple of 4"),
    "unknown source": ((TOY, "--config.data=moon"), "did you mean 'moons'?"),
    "wrong shape": (
        (TOY, "--config.data=digits", "--config.example.shape=(2,)"),
        "but the data (digits) have (8, 8, 1)",
    ),
    "no labels": ((TOY, "--config.conditions.label.dropout=0.1"), "is made from labels, but the data have none"),
    "unwritable": ((TOY, "--workdir=/proc/nowhere"), "cannot write to workdir = /proc/nowhere"),
    "an image network": ((TOY, "--config.network=ncsnpp"), "use 'mlp' or 'resnet'"),
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
    assert "--mode: <train|eval|sample|restore|edit>" in done.stdout
    assert done.returncode == 0
    assert "Exit codes: 0 done" in done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Forty pictures of several sizes."""
    where, draw = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for i in range(40):
        height, width = draw.integers(9, 20, 2)
        Image.fromarray(draw.integers(0, 256, (height, width, 3), np.uint8)).save(where / f"{i}.png")
    return where


def test_images_of_ones_own(main, folder, tmp_path):
    """A first command with a wrong folder leaves nothing that stands in the way of the right one."""
    run, images = tmp_path / "run", "--config=configs/images.py"
    wrong = main(images, f"--config.data.path={folder}s", f"--workdir={run}")
    assert wrong.returncode == 1
    assert f"did you mean '{folder.name}'?" in wrong.stderr
    small = ("--config.data.size=8", "--config.network.nf=8", "--config.network.num_res_blocks=1")
    done = main(images, f"--config.data.path={folder}", f"--workdir={run}", *small, "--config.training.steps=2",
                "--config.batches.batch_size=4", "--config.logging.preview=4")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "step 2/2  loss" in done.stderr
    loaded = ss.load(run)
    assert loaded.shape == (8, 8, 3)
    assert (len(loaded.source("train")), len(loaded.source("test"))) == (36, 4)
    assert len(loaded.network.down) == 2  # 8 and 4 pixels
    assert (run / "samples" / "2.png").exists()


MOCKED = """
import sys
import tensorflow_datasets as tfds
from score_sde.cli import main

with tfds.testing.mock_data(num_examples=16):
    main(sys.argv)
"""
SMALL = {"network.nf": 8, "network.ch_mult": (1,), "network.attn_resolutions": (), "network.num_res_blocks": 1}
SMALL |= {"training.steps": 3, "batches.batch_size": 8, "logging.preview": 0}


@pytest.mark.parametrize(
    "name", ["ve/cifar10_ncsnpp_continuous", pytest.param("vp/ddpm/cifar10", marks=pytest.mark.slow)]
)
def test_an_original_config_file_trains(main, tmp_path, name):
    """As it is, on mocked CIFAR-10, with a network made small by the command line."""
    pytest.importorskip("tensorflow_datasets")
    row = ROWS[name]
    (tmp_path / "config.py").write_text(Original(row.defaults, row.fields).text())
    (tmp_path / "mocked.py").write_text(MOCKED)
    fields = SMALL | ({"network.nf": 32} if "ddpm" in name else {})
    overrides = [f"--config.{field}={value}" for field, value in fields.items()]
    run = tmp_path / "run"
    done = main(f"--config={tmp_path / 'config.py'}", f"--workdir={run}", *overrides, program=tmp_path / "mocked.py")
    assert done.returncode == 0, done.stderr
    assert "done at step 3" in done.stdout
    assert (ss.load(run).step, ss.load(run).config.data.name) == (3, "cifar10")
