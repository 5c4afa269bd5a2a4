"""Metrics by name from statistics: values, floors, numbers of examples; and what is refused."""

import dataclasses

import numpy as np
import pytest

from score_sde.evaluation import METRICS, Statistics, compare
from score_sde.evaluation.metrics import fld, frechet, kid, prdc
from score_sde.evaluation.metrics.moments import Moments


def normal(n, seed, shift=0.0, name="normal"):
    found = Statistics.of(np.random.default_rng(seed).normal(size=(n, 4)) + shift, {"data": name, "n": n})
    return dataclasses.replace(found, label=np.arange(n) % 2)


TRAIN, TEST, MADE = normal(300, 0, name="train"), normal(200, 1, name="test"), normal(150, 2, 0.5, name="made")


def test_each_is_its_function():
    found = compare(MADE, TRAIN, tuple(METRICS), held_out=TEST)
    assert set(found) == set(METRICS)
    assert found["fd"]["value"] == pytest.approx(frechet(MADE.kept, TRAIN.kept))
    assert found["kid"]["value"] == pytest.approx(kid(MADE.kept, TRAIN.kept).value)
    assert found["fld"]["value"] == pytest.approx(fld(TRAIN.kept, TEST.kept, MADE.kept))
    assert found["recall"]["value"] == prdc(TRAIN.kept, MADE.kept, 3).recall
    assert found["coverage"]["value"] == prdc(TRAIN.kept, MADE.kept, 5).coverage


def test_intervals_hold_the_truth_and_floors_do_not():
    """The true FD is 4 · 0.5² = 1."""
    found = compare(MADE, TRAIN, ("fd_jackknife", "kid"), held_out=TEST)
    low, high = found["fd_jackknife"]["interval"]
    assert low < 1 < high
    assert found["fd_jackknife"]["floor"] < low
    assert (found["kid"]["n"], found["kid"]["n_reference"], found["kid"]["n_floor"]) == (150, 300, 150)


def test_no_floor_without_held_out_examples_or_for_metrics_that_use_them():
    assert "floor" not in compare(MADE, TRAIN, ("fd",))["fd"]
    assert "floor" not in compare(MADE, TRAIN, ("fld",), held_out=TEST)["fld"]


def test_moments_alone_give_the_distance():
    """A file of another program states no n, and counts as known exactly."""
    published = Statistics(Moments(10**6, np.zeros(4), np.eye(4) * (10**6 - 1)), about={"data": "published.npz"})
    entry = compare(MADE, published, ("fd",))["fd"]
    assert entry["n_reference"] is None
    assert abs(entry["value"] - 1) < 3 * entry["standard_error"] + 0.1
    assert entry["interval"] is None
    with pytest.raises(ValueError, match=r"kid: published.npz holds a mean and a covariance, but no features"):
        compare(MADE, published, ("kid",))


@pytest.mark.parametrize(
    ("metrics", "options", "words"),
    [
        (("fid",), {}, "metrics has 'fid'; allowed: 'fd', 'fd_jackknife'"),
        ((), {}, r"metrics = \(\); allowed: 'fd'"),
        (("c_t",), {}, "c_t: it needs held-out images"),
        (("classifier_accuracy",), {"held_out": Statistics.of(TEST.kept)}, "classifier_accuracy: it needs labels"),
    ],
)
def test_refused(metrics, options, words):
    with pytest.raises(ValueError, match=words):
        compare(MADE, TRAIN, metrics, **options)


def test_too_few_samples_name_the_metric():
    with pytest.raises(ValueError, match=r"precision: k = 3; allowed: from 1 to below the number of samples, 2"):
        compare(normal(2, 3), TRAIN, ("precision",))
    with pytest.raises(ValueError, match=r"kid: KID needs at least 3 samples"):
        compare(normal(2, 3), TRAIN, ("kid",))


def test_copies_are_searched_among_all_of_the_reference():
    part = dataclasses.replace(TRAIN, kept=TRAIN.kept[:50], index=TRAIN.index[:50], label=None)
    with pytest.raises(
        ValueError, match=r"authpct: it searches all of the reference, but only 50 of 300 .* keep = 300"
    ):
        compare(MADE, part, ("authpct",))
    assert compare(MADE, part, ("fd_jackknife",))["fd_jackknife"]["n_reference"] == 300


def test_a_floor_is_of_a_random_part():
    """Of a held-out set that is sorted by class, the first few are of one class."""
    both = np.concatenate([normal(200, 5).kept, normal(200, 6, 4).kept])
    sorted_by_class = Statistics.of(np.concatenate([normal(200, 7).kept, normal(200, 8, 4).kept]))
    found = compare(normal(100, 9), Statistics.of(both), ("fd",), held_out=sorted_by_class)["fd"]
    assert found["n_floor"] == 100
    assert found["floor"] < 2
