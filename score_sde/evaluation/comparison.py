"""All metrics of one set of images against another, by name, from the statistics of both.

fd                 Fréchet distance (FID with Inception's features, sFID     moments
                   with its spatial ones)
fd_jackknife       2 FD_N − FD_{N/2}, without the bias of order 1/N          features
fd_infinity        the intercept of FD_n against 1/n                         features
kid                kernel distance, unbiased                                 features
cmmd               1000 MMD² with a Gaussian kernel                          features
precision, recall            k = 3                                           features
density, coverage            k = 5                                           features
vendi              the effective number of different images                  features
sliced_w2          sliced Wasserstein distance                               features
inception_score    needs logits as features                                  features
authpct            the share of images that are no copies, in per cent       features, all of the training set
c_t                copying, as a z-score, among the kept training examples   features, and held-out images
fld                feature likelihood divergence, on the kept features       features, and held-out images
classifier_accuracy   of a linear classifier trained on the samples          features, labels, and held-out images
"""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from score_sde.checks import require
from score_sde.evaluation.metrics import classifier_accuracy, cmmd, fld, inception_score, kid, prdc, sliced_w2, vendi
from score_sde.evaluation.metrics.distances import Features
from score_sde.evaluation.metrics.estimate import Estimate
from score_sde.evaluation.metrics.frechet import frechet, frechet_infinity, frechet_jackknife, standard_error
from score_sde.evaluation.metrics.memorisation import authpct, c_t
from score_sde.evaluation.metrics.moments import Moments
from score_sde.evaluation.statistics import Statistics, check_comparable, check_features

LEVEL = 0.9
"""The probability that an interval holds the true value."""
DEFAULT = ("fd", "fd_jackknife", "kid", "precision", "recall", "density", "coverage")


@dataclasses.dataclass(frozen=True, eq=False)
class Sides:
    """What is compared: ``sample`` with ``reference`` (the training set), and with ``held_out`` examples."""

    sample: Statistics
    reference: Statistics
    held_out: Statistics | None = None

    @property
    def pair(self) -> tuple[Features, Features]:
        """The features of the sample and of the reference."""
        return self.sample.features, self.reference.features

    @property
    def triple(self) -> tuple[Features, Features, Features]:
        """The features of the reference, of held-out examples, and of the sample."""
        if self.held_out is None:
            raise ValueError("it needs held-out images beside the reference; give held_out, such as the test split")
        return self.reference.features, self.held_out.features, self.sample.features

    @functools.cached_property
    def balls_of_three(self) -> Any:
        """Precision and recall as usual."""
        return self._balls(3)

    @functools.cached_property
    def balls_of_five(self) -> Any:
        """Density and coverage as usual."""
        return self._balls(5)

    def _balls(self, k: int) -> Any:
        sample, reference = self.pair
        return prdc(reference, sample, k)


METRICS: Mapping[str, Callable[[Sides], Estimate | float]] = {
    "fd": lambda sides: _distance(sides.sample, sides.reference),
    "fd_jackknife": lambda sides: frechet_jackknife(sides.sample.features, _best(sides.reference)),
    "fd_infinity": lambda sides: frechet_infinity(sides.sample.features, _best(sides.reference)),
    "kid": lambda sides: kid(*sides.pair),
    "cmmd": lambda sides: cmmd(*sides.pair),
    "precision": lambda sides: sides.balls_of_three.precision,
    "recall": lambda sides: sides.balls_of_three.recall,
    "density": lambda sides: sides.balls_of_five.density,
    "coverage": lambda sides: sides.balls_of_five.coverage,
    "vendi": lambda sides: vendi(sides.sample.features),
    "sliced_w2": lambda sides: sliced_w2(*sides.pair),
    "inception_score": lambda sides: inception_score(sides.sample.features),
    "authpct": lambda sides: _authpct(sides.reference, sides.sample),
    "c_t": lambda sides: c_t(*sides.triple),
    "fld": lambda sides: fld(*sides.triple),
    "classifier_accuracy": lambda sides: _classifier_accuracy(sides),
}
NEEDS_HELD_OUT = ("c_t", "fld", "classifier_accuracy")
OF_MOMENTS = ("fd", "fd_jackknife", "fd_infinity", "vendi", "inception_score")
"""The metrics that need of the reference its moments alone, or nothing."""
WITHOUT_INTERVAL = ("fd", "sliced_w2")
"""FD is biased by more than its error; the error of sliced_w2 is that of the directions alone."""


def compare(
    sample: Statistics,
    reference: Statistics,
    metrics: Sequence[str] = DEFAULT,
    *,
    held_out: Statistics | None = None,
    floor: bool = True,
) -> dict[str, dict[str, Any]]:
    """{metric: {"value", "standard_error", "interval", "n", "n_reference", "floor", "n_floor"}}.

    ``interval`` holds the true value with a probability of 90 %, where that can be given; a reference of which only moments
    or a part are kept counts as known. ``floor`` is the value that held-out examples get in the place of the sample: as
    many of them as there are samples (``n_floor``), if there are.
    """
    check_metrics(metrics)
    check_comparable(sample, reference)
    if held_out is not None:
        check_comparable(held_out, reference)
    sides = Sides(sample, reference, held_out)
    found = {name: _entry(name, sides) for name in metrics}
    if floor and held_out is not None and held_out.kept is not None:
        real = Sides(held_out.part(min(len(held_out.features), sample.n)), reference)
        for name in set(metrics) - set(NEEDS_HELD_OUT):
            least = _entry(name, real)
            found[name] |= {"floor": least["value"], "n_floor": least["n"]}
    return found


def check_sides(
    metrics: Sequence[str], features: Mapping[str, Any], reference: Statistics, held_out: Statistics | None
) -> None:
    """Raise a ValueError unless samples with these features can be compared; before any sample is drawn."""
    for side in (reference, held_out):
        if side is not None:
            check_features(features, side.about, ("the samples", side.name))
    for name in metrics:
        with _told_of(name):
            if name == "authpct":
                _check_whole(reference)
            elif name not in OF_MOMENTS:
                _ = reference.features
            if name in NEEDS_HELD_OUT and held_out is not None:
                _ = held_out.features
            if name == "classifier_accuracy" and held_out is not None:
                _labels(held_out)


def check_metrics(metrics: Sequence[str]) -> None:
    """Raise a ValueError unless all names are those of metrics."""
    require(len(metrics) > 0, f"metrics = (); allowed: {', '.join(map(repr, METRICS))}")
    for name in metrics:
        require(name in METRICS, f"metrics has {name!r}; allowed: {', '.join(map(repr, METRICS))}")


@contextlib.contextmanager
def _told_of(metric: str) -> Iterator[None]:
    """Name the metric in errors."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{metric}: {error}") from error


def _entry(name: str, sides: Sides) -> dict[str, Any]:
    with _told_of(name):
        found = METRICS[name](sides)
    estimate = found if isinstance(found, Estimate) else Estimate(found)
    return {
        "value": estimate.value,
        "standard_error": estimate.standard_error,
        "interval": None if name in WITHOUT_INTERVAL else estimate.interval(LEVEL),
        "n": _used(name, sides.sample, ("fd",)),
        "n_reference": _used(name, sides.reference, ("fd", "fd_jackknife", "fd_infinity")),
    }


def _used(name: str, statistics: Statistics, of_moments: Sequence[str]) -> int | None:
    """The number of examples that enter; None where a file states none."""
    if "n" not in statistics.about and statistics.kept is None:
        return None
    return statistics.n if name in of_moments or statistics.kept is None else len(statistics.kept)


def _distance(sample: Statistics, reference: Statistics) -> Estimate:
    """FD of all, with its error where the features of all samples are kept."""
    value = frechet(sample.moments, reference.moments)
    if not sample.all_kept:
        return Estimate(value)
    return Estimate(value, standard_error(sample.features, _best(reference)))


def _classifier_accuracy(sides: Sides) -> Estimate:
    _, held_out, sample = sides.triple
    assert sides.held_out is not None
    return classifier_accuracy(sample, _labels(sides.sample), held_out, _labels(sides.held_out))


def _labels(statistics: Statistics) -> Int[np.ndarray, "_k"]:
    if statistics.label is None:
        raise ValueError(f"it needs labels, and {statistics.name} has none")
    return statistics.label


def _authpct(reference: Statistics, sample: Statistics) -> Estimate:
    """With the error of a share of independent samples; the training set counts as known."""
    _check_whole(reference)
    value = authpct(reference.features, sample.features)
    return Estimate(value, float(np.sqrt(value * (100 - value) / len(sample.features))))


def _check_whole(reference: Statistics) -> None:
    """Among some of the training examples, a copy of another would pass as authentic."""
    require(
        reference.all_kept,
        f"it searches all of the reference, but only {len(reference.features)} of {reference.n} features are kept; "
        f"set keep = {reference.n}",
    )


def _best(statistics: Statistics) -> Features | Moments:
    """The features if they are those of all examples, else the moments, which then count as known."""
    return statistics.features if statistics.all_kept else statistics.moments
