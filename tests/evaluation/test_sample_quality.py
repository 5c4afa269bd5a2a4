"""Metrics of samples in the pass: against the functions of arrays, on any devices, killed and resumed, as pictures."""

import json
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest

import score_sde as ss
from score_sde.data import ArraySource, DataScaling
from score_sde.denoiser import FunctionDenoiser
from score_sde.evaluation import (
    ConditionalAccuracy,
    References,
    SampleQuality,
    Subject,
    compare,
    evaluate,
    samples,
    statistics_of,
    write_report,
)
from score_sde.evaluation.features import pixels
from tests.evaluation.quality import METRICS, quality

DRAW = np.random.default_rng(0)
DATA = {split: DRAW.integers(0, 256, (40, 4, 4, 1)).astype(np.uint8) for split in ("train", "test")}
KEY = jax.random.key(0)
SCALING = DataScaling(levels=256)
MODEL = FunctionDenoiser(ss.VP(), lambda x, t, condition: 0.9 * x / (1 + abs(x)), predicts="data")


def references(folder=None):
    return References(lambda split: ArraySource(split, DATA[split], levels=256), folder, 16)


def drawn(n=30, **options):
    return samples(MODEL, KEY, n, (4, 4, 1), SCALING, sampler=ss.samplers.ddim, steps=2, batch_size=8, **options)


def test_it_is_the_comparison_of_the_samples_with_the_data(tmp_path):
    measure = SampleQuality(references(tmp_path), pixels(), ("fd", "kid", "fld"))
    file = tmp_path / "7.json"
    found = evaluate(Subject(MODEL, SCALING), {"quality": measure}, drawn(), KEY, file, progress=False)["quality"]
    out = ss.samplers.ddim(MODEL, KEY, 30, (4, 4, 1), steps=2)
    own = statistics_of(ArraySource("own", np.asarray(SCALING.to_images(out.x)), levels=256), pixels(), progress=False)
    real = [statistics_of(ArraySource(split, DATA[split], levels=256), pixels(), progress=False) for split in DATA]
    wanted = compare(own, real[0], ("fd", "kid", "fld"), held_out=real[1])
    for name, entry in wanted.items():
        assert found["metrics"][name]["value"] == pytest.approx(entry["value"], rel=1e-6)
    assert found["metrics"]["fd"]["floor"] == pytest.approx(wanted["fd"]["floor"])
    assert found["about"]["reference"]["data"] == "train"
    assert found["about"]["resize"] == "none"
    assert json.loads(file.read_text())["quality"] == json.loads(json.dumps(found))
    assert {path.name for path in tmp_path.glob("*.png")} == {"7_quality_samples.png", "7_quality_nearest.png"}


def test_the_report_stands_alone(tmp_path):
    for step in (7, 9):
        measure = SampleQuality(references(tmp_path / "statistics"), pixels(), ("fd", "kid"))
        evaluate(Subject(MODEL, SCALING), {"quality": measure}, drawn(), KEY, tmp_path / f"{step}.json", progress=False)
    page = write_report(tmp_path, "small").read_text()
    for words in ("<h1>small</h1>", "kid", "floor: held-out data", "data:image/png;base64,", "<svg", "Over training"):
        assert words in page
    for outside in ('src="http', 'href="http', "<link", "<script", "@import", "url(http"):
        assert outside not in page
    with pytest.raises(ValueError, match="has no results"):
        write_report(tmp_path / "statistics")


def test_statistics_of_the_data_are_made_once(tmp_path):
    first = references(tmp_path).statistics("train", pixels(), 20)
    assert len(list(tmp_path.glob("train_*.npz"))) == 1

    class Untouched(ArraySource):
        def take(self, indices):
            raise AssertionError

    again = References(lambda split: Untouched(split, DATA[split], levels=256), tmp_path)
    np.testing.assert_array_equal(again.statistics("train", pixels(), 20).kept, first.kept)
    with pytest.raises(AssertionError):
        again.statistics("train", pixels(size=2), 20)


def test_a_file_of_statistics_as_reference(tmp_path):
    statistics_of(ArraySource("train", DATA["train"], levels=256), pixels(), tmp_path / "a.npz", progress=False)
    measure = SampleQuality(references(), pixels(), ("fd",), reference=str(tmp_path / "a.npz"), held_out=None)
    found = evaluate(Subject(MODEL, SCALING), {"quality": measure}, drawn(), KEY, progress=False)["quality"]
    assert "floor" not in found["metrics"]["fd"]
    other = SampleQuality(references(), pixels(size=8), ("fd",), reference=str(tmp_path / "a.npz"), held_out=None)
    with pytest.raises(
        ValueError, match=r"cannot be compared: they have size = 8 and 0; resize = 'bicubic' and 'none'"
    ):
        evaluate(Subject(MODEL, SCALING), {"quality": other}, drawn(), KEY, progress=False)


def test_bad_metrics_are_told_at_once():
    with pytest.raises(ValueError, match="metrics has 'fdd'"):
        SampleQuality(references(), pixels(), ("fdd",))
    with pytest.raises(ValueError, match="held_out = None, but fld compare with held-out images"):
        SampleQuality(references(), pixels(), ("fld",), held_out=None)


def test_conditional_accuracy():
    """Of constant images, those of class 1 are bright: a classifier by brightness is right where the model obeyed."""

    class Bright(ss.guidance.NoisyClassifier):
        def logits(self, x, t, condition=None):
            mean = x.mean(axis=(1, 2, 3))
            return jax.numpy.stack([-mean, mean], axis=1)

    sign = FunctionDenoiser(
        ss.VP(), lambda x, t, condition: 0 * x + (condition["label"] * 1.0 - 0.5)[:, None, None, None], predicts="data"
    )
    label = np.arange(12) % 2
    stream = samples(sign, KEY, 12, (2, 2, 1), SCALING, condition={"label": label}, sampler=ss.samplers.ddim, steps=2)
    measure = {"accuracy": ConditionalAccuracy(Bright(ss.VP()))}
    assert evaluate(Subject(sign, SCALING), measure, stream, KEY, progress=False)["accuracy"]["mean"] == 1
    none = samples(MODEL, KEY, 4, (2, 2, 1), SCALING, sampler=ss.samplers.ddim, steps=2)
    with pytest.raises(ValueError, match="conditional_accuracy needs samples with a 'label'"):
        evaluate(Subject(MODEL, SCALING), measure, none, KEY, progress=False)


def test_splits_of_one_source_are_two_references_and_more_samples_another_result(tmp_path):
    same = References(lambda split: ArraySource("data", DATA[split], levels=256), tmp_path)
    train, test = (same.statistics(split, pixels()) for split in ("train", "test"))
    assert not np.array_equal(train.moments.mean, test.moments.mean)
    for first in (10, 20):
        measure = {"quality": SampleQuality(references(), pixels(), ("kid",), first=first)}
        file = tmp_path / f"{first}" / "7.json"
        found = evaluate(Subject(MODEL, SCALING), measure, drawn(), KEY, file, progress=False)["quality"]
        assert found["metrics"]["kid"]["n"] == first
        assert found["settings"]["total"] == first


def values(found):
    return {name: found["metrics"][name]["value"] for name in METRICS}


def agree(one, other, tolerance):
    for name, value in values(one).items():
        assert values(other)[name] == pytest.approx(value, rel=tolerance), name


def test_eight_devices_agree_with_one(tmp_path):
    command = [sys.executable, "-m", "tests.evaluation.quality", str(tmp_path / "eight"), "--devices=8"]
    subprocess.run(command, check=True)
    agree(quality(tmp_path / "one"), json.loads((tmp_path / "eight" / "1.json").read_text())["quality"], 1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("network", [False, True])
def test_two_processes_agree_with_one(tmp_path, network):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "tests.evaluation.quality",
        str(tmp_path / "two"),
        f"--port={port}",
        "--processes=2",
    ]
    command += ["--network"] * network
    running = [subprocess.Popen([*command, f"--process={k}"]) for k in range(2)]
    assert [process.wait(timeout=300) for process in running] == [0, 0]
    found = json.loads((tmp_path / "two" / "1.json").read_text())["quality"]
    # float32 features of a network depend on how many images a device has; what is made of them does not.
    agree(quality(tmp_path / "one", network), found, 1e-5 if network else 1e-10)
