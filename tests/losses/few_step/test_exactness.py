"""The true flow map is where each loss has its minimum: residuals are zero, or their gradients have mean zero."""

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np
import pytest

import score_sde as ss
from score_sde.flow_map import FlowMap
from score_sde.losses import LogNormal, few_step
from tests.losses.few_step.exact import gaussian, mixture, slopes, z_of

SDES = {"FlowMatching": ss.FlowMatching(), "VP": ss.VP(), "EDM": ss.EDM()}
LAWS = [gaussian, pytest.param(mixture, marks=pytest.mark.slow)]  # the mixture's map is integrated: seconds each
LEVELS = LogNormal(-0.5, 1.0)
PAIRS = few_step.Sorted(LEVELS, equal=0.2)

pytestmark = pytest.mark.usefixtures("x64")


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("sde", SDES.values(), ids=SDES.keys())
@pytest.mark.parametrize("loss", [few_step.lagrangian, few_step.eulerian, few_step.shortcut])
def test_with_the_teachers_flow_the_true_map_has_no_residual(loss, sde, law):
    truth = law(sde)
    value, slope = slopes(loss, truth, 48, teacher=truth.denoiser, pairs=PAIRS)
    assert float(jnp.max(value)) < 1e-8
    assert float(jnp.abs(slope).max()) < 1e-4


@pytest.mark.parametrize("law", LAWS)
def test_two_steps_of_the_true_map_are_one(law):
    value, slope = slopes(few_step.progressive, law(SDES["VP"]), 48, first=4)
    assert float(jnp.max(value)) < 1e-8
    assert float(jnp.abs(slope).max()) < 1e-4


@pytest.mark.parametrize("law", LAWS)
def test_continuous_consistency_has_no_residual_at_the_true_map(law):
    truth, options = law(SDES["VP"]), {"pairs": few_step.ToData(LEVELS), "c": 0.0, "warmup": 0}
    value, slope = slopes(few_step.continuous_consistency, truth, 48, teacher=truth.denoiser, **options)
    assert float(jnp.max(value)) < 1e-8
    assert float(jnp.abs(slope).max()) < 1e-4


FROM_DATA = {
    "diagonal": functools.partial(few_step.diagonal, pairs=few_step.Sorted(LEVELS, equal=1.0)),
    "mean flow": functools.partial(few_step.mean_flow, pairs=PAIRS, distance=few_step.mean_squares),
    "improved": functools.partial(few_step.improved_mean_flow, pairs=PAIRS, distance=few_step.mean_squares),
    "shortcut": functools.partial(few_step.shortcut, pairs=PAIRS),
    "continuous": functools.partial(few_step.continuous_consistency, pairs=few_step.ToData(LEVELS), c=0.0, warmup=0),
}


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("name", FROM_DATA)
def test_from_data_alone_the_gradient_at_the_true_map_has_mean_zero(name, law):
    value, slope = slopes(FROM_DATA[name], law(SDES["FlowMatching"]), 4000)
    assert float(jnp.mean(value)) > 1e-3  # the velocity of one example is not the mean
    assert abs(z_of(slope)) < 3


@dataclasses.dataclass(frozen=True)
class OnDiagonal(FlowMap):
    """A map that is used where s = t alone."""

    denoiser: ss.Denoiser

    def predict(self, x, t, s, condition=None):
        return self.denoiser.predict(x, t, condition)


def test_the_adaptive_weight_moves_the_minimum():
    """On the diagonal, where the minimum is the denoiser, of a skew mixture."""
    truth = mixture(SDES["FlowMatching"])
    on_diagonal = truth._replace(map=OnDiagonal(truth.denoiser.sde, truth.denoiser))
    biased = functools.partial(few_step.mean_flow, pairs=few_step.Sorted(LEVELS, equal=1.0))
    assert abs(z_of(slopes(functools.partial(biased, distance=few_step.mean_squares), on_diagonal, 40_000)[1])) < 3
    assert abs(z_of(slopes(biased, on_diagonal, 40_000)[1])) > 6


@pytest.mark.parametrize("order", [1, 2])
def test_consistency_distillation_is_biased_by_the_order_of_its_solver(order):
    """The gradient at the true map is that of the error of one step, of order h^(order + 1)."""
    truth, found = gaussian(SDES["EDM"]), []
    for levels in (40, 80):
        options = {"teacher": truth.denoiser, "points": levels, "order": order}
        slope = slopes(few_step.consistency, truth, 256, **options)[1]
        found.append(float(jnp.sqrt(jnp.mean(slope**2))))
    assert np.log2(found[0] / found[1]) == pytest.approx(order + 1, abs=0.4)


def test_consistency_training_approaches_the_true_map_as_its_levels_do():
    """The mean gradient of one interval, over the size of the interval, is of first order."""
    truth, found = gaussian(SDES["EDM"]), []
    for levels in (10, 40):
        slope = slopes(few_step.consistency, truth, 40_000, points=levels)[1]
        found.append(float(jnp.abs(jnp.mean(slope))) * levels)
    assert found[1] < 0.5 * found[0]
