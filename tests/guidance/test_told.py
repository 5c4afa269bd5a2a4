"""Null values and negative conditions: what the other half of the batch is told."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import score_sde as ss
from score_sde import guidance as g
from tests.guidance.exact import GOOD, NULL

SDE = ss.VP()
X = jnp.zeros((3, 2))


def heard(make, condition, n=3):
    """What the model of a guidance is told: for the samples, and for their other halves."""
    told: list = []
    model = ss.FunctionDenoiser(SDE, lambda x, t, c: (told.append(c), x)[1], predicts="data")
    make(model).denoise(X, 0.5, condition)
    return [{name: np.asarray(leaf)[half] for name, leaf in told[-1].items()} for half in (slice(n), slice(n, None))]


@pytest.mark.parametrize("guide", [g.classifier_free, g.projected])
def test_the_other_half_is_told_null_values_arrays_or_another_leaf(guide):
    label, text, other = jnp.array([4, 5, 6]), jnp.arange(12.0).reshape(3, 4), jnp.array([7, 8, 9])
    condition = {"label": label, "text": text, "not": other}
    cases = (
        ({"null": {"label": 10}}, {"label": [10, 10, 10], "text": text, "not": other}),
        ({"null": {"label": jnp.array([1, 2, 3])}}, {"label": [1, 2, 3], "text": text, "not": other}),
        ({"null": {"text": jnp.arange(4.0)}}, {"label": label, "text": np.tile(np.arange(4.0), (3, 1)), "not": other}),
        ({"null": {"label": 10}, "negative": {"label": "not"}}, {"label": other, "text": text}),
        (
            {"null": {"label": 10, "text": 0.0}, "negative": {"label": 3}},
            {"label": [3] * 3, "text": 0 * text, "not": other},
        ),
        ({"negative": {"label": "not"}}, {"label": other, "text": text}),
    )
    for options, wanted in cases:
        told, elsewhere = heard(lambda model, options=options: guide(model, 2.0, **options), condition)
        assert set(told) == set(elsewhere) == set(wanted)
        for name, leaf in wanted.items():
            np.testing.assert_array_equal(told[name], condition[name])
            np.testing.assert_array_equal(elsewhere[name], leaf)


def test_samples_away_from_a_negative_condition():
    """At w = 1 it has no effect; a larger w moves the samples away from the component that was named."""
    n = 1000
    means = []
    for w in (1.0, 2.0):
        model = g.classifier_free(GOOD.denoiser(SDE), w, null=NULL, negative={"label": "not"})
        condition = {"label": jnp.zeros(n, int), "not": jnp.ones(n, int)}
        out = ss.samplers.dpm_solver(model, jax.random.key(0), n, (2,), steps=15, condition=condition)
        means.append(np.asarray(out.x.mean(axis=0)))
    np.testing.assert_allclose(means[0], GOOD.means[0], atol=0.04)
    away = np.asarray(GOOD.means[0] - GOOD.means[1])
    assert (means[1] - means[0]) @ away / np.linalg.norm(away) > 0.1


@pytest.mark.usefixtures("unchecked")
def test_bad_input():
    label = {"label": jnp.zeros(3, int)}
    model = GOOD.denoiser(SDE)

    def denoise(condition, **options):
        return g.classifier_free(model, 2.0, **options).denoise(X, 0.5, condition)

    with pytest.raises(ValueError, match="null names the leaves 'text', which the condition lacks; it has 'label'"):
        denoise(label, null={"text": 0.0})
    with pytest.raises(
        ValueError, match=r"away from condition\['not'\] needs that leaf beside 'label'; .* has 'label'"
    ):
        denoise(label, negative={"label": "not"})
    with pytest.raises(
        ValueError, match=r"condition 'not' is float32\[3\], but stands for 'label', which is int32\[3\]"
    ):
        denoise({**label, "not": jnp.zeros(3)}, negative={"label": "not"})
    with pytest.raises(ValueError, match=r"null value of condition 'label' has shape \(2,\) and cannot fill .* \(3,\)"):
        denoise(label, null={"label": jnp.zeros(2, int)})
    with pytest.raises(ValueError, match=r"null value of condition 'label' is 0\.5, but the leaf holds int32"):
        denoise(label, null={"label": 0.5})
    with pytest.raises(ValueError, match="null names the leaves 'text'"):
        g.told(model, {"text": 1.0}).denoise(X, 0.5, label)
