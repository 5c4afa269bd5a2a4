"""One pass over a whole split: the mean by hand, the last batch, several evaluators, and one that is killed and goes on."""

import dataclasses
import json
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import score_sde as ss
from score_sde.conditions import Conditions, Leaf
from score_sde.data import ArraySource, DataScaling
from score_sde.evaluation import BitsPerDim, HeldOutLoss, LossPerLevel, PerExample, SaveSamples, Subject, evaluate
from score_sde.evaluation import examples as examples_of
from score_sde.evaluation import samples as samples_of
from score_sde.likelihood import of_data
from tests.evaluation.problem import KEY, MODEL, SCALING, SDE, SOURCE, TRUTH

SUBJECT = Subject(MODEL, SCALING)
BITS = BitsPerDim(repeats=2, rtol=1e-3, atol=1e-3)


def bits(subject=SUBJECT, source=SOURCE, file=None, *, measure=BITS, batch_size=5, **options):
    stream = examples_of(source, batch_size)
    return evaluate(subject, {"bits": measure}, stream, KEY, file, progress=False, **options)["bits"]


class Killed(RuntimeError):
    pass


class Fragile(ArraySource):
    """A source that breaks off after some batches."""

    def take(self, index):
        self.left -= 1
        if self.left < 0:
            raise Killed
        return super().take(index)


def fragile(left: int) -> Fragile:
    source = Fragile(SOURCE.name, SOURCE.data, levels=5)
    object.__setattr__(source, "left", left)
    return source


def test_every_example_counts_once(tmp_path):
    """13 examples in batches of 5, by hand: the last three are there, and the error bar is that of the examples."""
    result = bits(file=tmp_path / "7.json")
    options = {"rtol": 1e-3, "atol": 1e-3}
    by_hand = np.stack(
        [of_data(MODEL, SOURCE.data, jax.random.fold_in(KEY, r), SCALING, **options)[0] for r in range(2)]
    )
    np.testing.assert_allclose(result["repeat_means"], by_hand.mean(axis=1), rtol=1e-4)
    each = by_hand.mean(axis=0)
    np.testing.assert_allclose(result["mean"], each.mean(), rtol=1e-4)
    np.testing.assert_allclose(result["standard_error"], each.std(ddof=1) / np.sqrt(13), rtol=1e-3)
    assert (result["examples"], result["failures"], result["unit"]) == (13, 0, "bits/dim")
    assert json.loads((tmp_path / "7.json").read_text()) == {"bits": result}
    assert "repeats=2" in result["settings"]["evaluator"]


def test_killed_and_resumed_is_bit_equal(tmp_path):
    whole = bits(file=tmp_path / "whole.json")
    for left in (1, 1, 0):  # killed three times, the last before anything was done
        with pytest.raises(Killed):
            bits(source=fragile(left), file=tmp_path / "parts.json", save_every=0.0)
        assert not (tmp_path / "parts.json").exists()
    last = fragile(1)  # of three batches one is left
    assert bits(source=last, file=tmp_path / "parts.json", save_every=0.0) == whole
    assert last.left == 0
    arrays = [np.load(tmp_path / name)["per_dim"] for name in ("whole_bits.npz", "parts_bits.npz")]
    np.testing.assert_array_equal(*arrays)
    assert bits(source=fragile(0), file=tmp_path / "parts.json") == whole  # what is done is not done again
    # After a kill the batches may be smaller, for want of memory.
    with pytest.raises(Killed):
        bits(source=fragile(1), file=tmp_path / "other.json", save_every=0.0)
    assert bits(file=tmp_path / "other.json", batch_size=3)["mean"] == pytest.approx(whole["mean"], rel=1e-4)


@dataclasses.dataclass(frozen=True)
class Sum(PerExample):
    """An evaluator that keeps a sum alone, as a metric of many examples does."""

    first: int | None = None

    def measure(self, subject, batch, key):
        return {"value": jnp.asarray(batch["data"], jnp.float32).sum(axis=1)}

    def begin(self, n):
        return {"total": np.zeros(()), "count": np.zeros((), int)}

    def add(self, state, rows, values):
        assert len(values["value"]) == rows.stop - rows.start
        return {"total": state["total"] + values["value"].sum(), "count": state["count"] + len(values["value"])}

    def result(self, subject, state):
        return {"mean": float(state["total"] / state["count"]), "count": int(state["count"])}


def test_several_evaluators_share_a_pass_and_a_later_one_does_not_repeat_them(tmp_path):
    file, loss = tmp_path / "7.json", Subject(MODEL, SCALING, loss=lambda model, batch, keys: batch["data"][:, 0] * 1.0)
    few = {"sum": Sum(), "few": Sum(first=7), "held_out_loss": HeldOutLoss()}
    found = evaluate(loss, few, examples_of(SOURCE, 5), KEY, file, progress=False)
    assert found["sum"]["mean"] == pytest.approx(SOURCE.data.sum(axis=1).mean())
    assert (found["sum"]["count"], found["few"]["count"]) == (13, 7)
    assert found["few"]["mean"] == pytest.approx(SOURCE.data[:7].sum(axis=1).mean())
    assert found["held_out_loss"]["mean"] == pytest.approx(SOURCE.data[:, 0].mean())
    level = {"loss_per_level": LossPerLevel(levels=3, first=6)}
    more = evaluate(loss, few | level, examples_of(fragile(2), 5), KEY, file, progress=False)
    assert {name: more[name] for name in few} == found
    assert set(json.loads(file.read_text())) == {"sum", "few", "held_out_loss", "loss_per_level"}
    assert len(more["loss_per_level"]["loss"]) == 3
    again = evaluate(loss, level, examples_of(fragile(0), 5), KEY, file, progress=False)
    assert again["loss_per_level"] == more["loss_per_level"]
    assert set(json.loads(file.read_text())) == {"sum", "few", "held_out_loss", "loss_per_level"}


def test_another_evaluation_is_not_mixed_in(tmp_path):
    bits(file=tmp_path / "a.json")
    other = ss.analytic.GaussianMixture([[-0.5, 0.3], [0.4, -0.1]], [0.3, 0.2]).denoiser(SDE)
    for subject, measure, name in (
        (Subject(other, SCALING), BITS, "model"),
        (SUBJECT, BitsPerDim(repeats=1), "evaluator"),
    ):
        with pytest.raises(ValueError, match=f"other settings: {name} = .* then, .* now"):
            bits(subject, file=tmp_path / "a.json", measure=measure)
    (tmp_path / "b_bits.npz").write_bytes(b"not an archive")
    with pytest.raises(ValueError, match="no unfinished evaluation"):
        bits(file=tmp_path / "b.json")


def test_failures_are_counted_and_left_out():
    """A model that knows nothing of one corner: its images are NaN, named, and not in the mean."""

    def velocity(x, t, condition):
        return jnp.where(x[:, :1] > 0.5, jnp.nan, 1.0) * MODEL.noise(x, t)

    broken = Subject(ss.FunctionDenoiser(SDE, velocity, predicts="noise"), SCALING)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = bits(broken, measure=BitsPerDim(repeats=1, rtol=1e-3, atol=1e-3), batch_size=13)
    assert any("was given up" in str(w.message) for w in caught)
    assert result["failures"] == len(result["failed"]) == 13 - result["examples"] > 0
    assert np.isfinite(result["mean"])


def test_continuous_data_are_in_nats():
    source = ArraySource("points", np.asarray(TRUTH.sample(jax.random.key(0), 6)))
    subject = Subject(MODEL, DataScaling(levels=None))
    result = bits(subject, source, measure=BitsPerDim(repeats=1, divergence="exact"), batch_size=4)
    assert result["unit"] == "nats/dim"
    exact = -np.mean(TRUTH.log_prob(jnp.asarray(source.data), sde=SDE, t=SDE.t_min)) / 2
    assert abs(result["mean"] - exact) <= 1e-3


class TestSamples:
    """A pass over samples: they are what the sampler gives, on disk, and a killed one goes on."""

    n = 13
    condition = None

    def stream(self, **options):
        condition = {"label": np.arange(self.n, dtype=np.int32) % 3}
        return samples_of(
            TOLD, KEY, self.n, (2,), SCALING, sampler=ss.samplers.ddim, steps=3, batch_size=5, condition=condition, **options
        )  # fmt: skip

    def test_all_are_saved_with_their_condition(self, tmp_path):
        subject = Subject(TOLD, SCALING, Conditions({"label": Leaf(classes=3)}))
        file = tmp_path / "samples_7.npz"
        found = evaluate(subject, {"s": SaveSamples(file), "sum": OfSamples()}, self.stream(), KEY, progress=False)
        with np.load(file) as arrays:
            data, label = arrays["data"], arrays["label"]
        labels = jnp.arange(self.n) % 3
        out = ss.samplers.ddim(TOLD, KEY, self.n, (2,), steps=3, condition={"label": labels})
        np.testing.assert_array_equal(data, SCALING.to_images(out.x))
        np.testing.assert_array_equal(label, labels)
        assert found["s"]["samples"] == self.n
        assert (found["s"]["failed"], found["s"]["evaluations"]) == ([], 4.0)
        assert file.with_suffix(".png").exists()
        assert found["sum"]["mean"] == pytest.approx(data.sum(axis=1).mean())
        assert sorted(path.name for path in tmp_path.iterdir()) == ["samples_7.npz", "samples_7.png"]

    def test_killed_and_resumed(self, tmp_path):
        whole, parts = tmp_path / "whole.npz", tmp_path / "parts.npz"
        evaluate(Subject(TOLD, SCALING), {"s": SaveSamples(whole)}, self.stream(), KEY, progress=False)
        stream = self.stream()

        def breaks_off(first):
            for k, item in enumerate(stream.begin(first)):
                if k == 1:
                    raise Killed
                yield item

        for _ in range(2):
            with pytest.raises(Killed):
                evaluate(
                    Subject(TOLD, SCALING), {"s": SaveSamples(parts)}, dataclasses.replace(stream, begin=breaks_off),
                    KEY, tmp_path / "parts.json", save_every=0.0, progress=False,
                )  # fmt: skip
        result = evaluate(
            Subject(TOLD, SCALING), {"s": SaveSamples(parts)}, stream, KEY, tmp_path / "parts.json", progress=False
        )
        assert result["s"]["samples"] == self.n
        with np.load(whole) as one, np.load(parts) as other:
            for name in one:
                np.testing.assert_array_equal(one[name], other[name])


class OfSamples(Sum):
    of = "samples"


def _told(x, t, condition):
    return MODEL.noise(x, t) + 0.1 * condition["label"][:, None]


TOLD = ss.FunctionDenoiser(SDE, _told, predicts="noise")
