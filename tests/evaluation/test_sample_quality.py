"""Metrics of samples in the pass: against the functions of arrays, on any devices, killed and resumed, as pictures."""

import dataclasses
import json
import signal
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

    def untouched(images):
        raise AssertionError

    again = references(tmp_path)
    features = dataclasses.replace(pixels(), network=lambda weights, x: untouched(x))
    np.testing.assert_array_equal(again.statistics("train", features, 20).kept, first.kept)
    with pytest.raises(AssertionError):
        again.statistics("train", dataclasses.replace(features, size=2), 20)


def test_other_images_of_equal_number_and_size_have_other_statistics(tmp_path):
    first = references(tmp_path).statistics("train", pixels())
    changed = DATA["train"].copy()
    changed[17, 2, 2] ^= 1
    other = References(lambda split: ArraySource("train", changed, levels=256), tmp_path)
    assert other.statistics("train", pixels()).about["data_hash"] != first.about["data_hash"]


def test_metrics_and_references_can_be_chosen_after_the_samples_are_drawn(tmp_path):
    file, drawings = tmp_path / "7.json", []

    def counted(model, *arguments, **options):
        drawings.append(1)
        return ss.samplers.ddim(model, *arguments, **options)

    def found(metrics, train=DATA["train"]):
        data = {**DATA, "train": train}
        measure = SampleQuality(
            References(lambda split: ArraySource(split, data[split], levels=256)), pixels(), metrics
        )
        stream = samples(MODEL, KEY, 30, (4, 4, 1), SCALING, sampler=counted, steps=2, batch_size=8)
        return evaluate(Subject(MODEL, SCALING), {"quality": measure}, stream, KEY, file, progress=False)["quality"]

    first = found(("fd",))
    drawn = len(drawings)
    more = found(("fd", "kid"))
    assert more["metrics"]["fd"] == first["metrics"]["fd"]
    assert "kid" in more["metrics"]
    elsewhere = found(("fd",), train=DATA["train"] // 2)
    assert elsewhere["metrics"]["fd"]["value"] != first["metrics"]["fd"]["value"]
    assert len(drawings) == drawn


def test_failed_samples_are_counted():
    def partly(model, *arguments, **options):
        out = ss.samplers.ddim(model, *arguments, **options)
        return dataclasses.replace(out, failed_at=jax.numpy.where(jax.numpy.arange(len(out.x)) == 3, 1, -1))

    stream = samples(MODEL, KEY, 16, (4, 4, 1), SCALING, sampler=partly, steps=2, batch_size=8)
    measure = {"quality": SampleQuality(references(), pixels(), ("fd",))}
    with pytest.warns(RuntimeWarning, match="1 of 8 samples failed"):
        found = evaluate(Subject(MODEL, SCALING), measure, stream, KEY, progress=False)["quality"]
    assert found["failures"] == 2


def test_samples_of_continuous_images_are_clipped():
    data = {split: images.astype(np.float32) for split, images in DATA.items()}
    scaling = DataScaling(levels=None, mean=127.5, std=50.0)  # a sample of 3 deviations lies outside
    wide = FunctionDenoiser(ss.VP(), lambda x, t, condition: 5 * jax.numpy.sign(x), predicts="data")
    stream = samples(wide, KEY, 16, (4, 4, 1), scaling, sampler=ss.samplers.ddim, steps=2, batch_size=8)
    sides = References(lambda split: ArraySource(split, data[split]))
    measure = {"quality": SampleQuality(sides, dataclasses.replace(pixels(), quantise=False), ("fd", "vendi"))}
    found = evaluate(Subject(wide, scaling), measure, stream, KEY, progress=False)["quality"]
    assert found["metrics"]["fd"]["value"] > 0


def test_what_a_metric_lacks_is_told_before_a_sample_is_drawn():
    def never(*arguments, **options):
        raise AssertionError

    def refused(words, **options):
        stream = samples(MODEL, KEY, 16, (4, 4, 1), SCALING, sampler=never)
        with pytest.raises(ValueError, match=words):
            evaluate(Subject(MODEL, SCALING), {"quality": SampleQuality(**options)}, stream, KEY, progress=False)

    own = {"references": references(), "features": pixels()}
    refused("classifier_accuracy: it needs labels, and test has none", **own, metrics=("classifier_accuracy",))
    refused("authpct: it searches all of the reference, but only 20 of 40", **own, metrics=("authpct",), keep=20)


def test_a_killed_evaluation_resumes_where_it_was(tmp_path):
    """SIGKILL after the third of six batches: three are left to draw, and the result is that of an undisturbed one."""
    command = [sys.executable, "-m", "tests.evaluation.quality", str(tmp_path / "killed"), "--batch=16"]
    assert subprocess.run([*command, "--kill_at=3"]).returncode == -signal.SIGKILL
    assert not (tmp_path / "killed" / "1.json").exists()
    again = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "batches drawn: 3" in again
    agree(quality(tmp_path / "whole", batch=16), json.loads((tmp_path / "killed" / "1.json").read_text())["quality"], 0)


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
