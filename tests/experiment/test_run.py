"""A run's own surface: what it takes, and how it answers what it cannot."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import score_sde as ss
from score_sde.experiment import Experiment
from score_sde.experiment.run import Run
from tests.training import toy

KEY = jax.random.key(0)


def digits():
    config = toy.get_config()
    config.data = {"name": "digits"}
    return config


@pytest.fixture(scope="module")
def run():
    """Digits by their labels, untrained."""
    config = digits()
    config.conditions = {"label": {}}
    config.guidance = {"name": "classifier_free", "scale": 2.0}
    experiment = Experiment.of(config)
    return Run(experiment.task.init(KEY), experiment)


def test_a_condition_guides_and_costs_two_passes(run):
    condition = run.condition(label=1, n=4)
    np.testing.assert_array_equal(condition["label"], [1, 1, 1, 1])
    out = run.sample(KEY, 4, condition=condition)
    calls = int(out.calls)
    assert out.nfe.tolist() == [2 * calls] * 4
    assert out.pullbacks.tolist() == [0] * 4
    plain = run.sample(KEY, 4)
    assert plain.nfe.tolist() == [int(plain.calls)] * 4
    ll = run.log_likelihood(np.zeros((2, 8, 8, 1), np.uint8), KEY, run.condition(label=[0, 1]))
    assert ll.log_prob.shape == (2,)


def test_a_sample_is_the_same_whatever_its_neighbours_are_told(run):
    """Bit by bit at one batch shape, nearly so across shapes."""
    one, other = (
        run.sample(KEY, 4, condition={"label": jnp.array(labels)}).x for labels in ([1, 0, 1, 0], [1, 1, 0, 2])
    )
    np.testing.assert_array_equal(one[0], other[0])
    alone = run.sample(KEY, 1, condition=run.condition(label=[1])).x
    np.testing.assert_allclose(alone[0], one[0], atol=1e-4)


MISTAKES = {
    "a list in a condition": (
        lambda run: run.sample(KEY, 2, condition={"label": [1, 2]}),
        r"condition\['label'\] = \[1, 2\] is a list; give an array",
    ),
    "a list of numbers for images": (
        lambda run: run.bits_per_dim([[1, 2, 3]], KEY),
        r"shape \(1, 3\); give \(n, 8, 8, 1\)",
    ),
    "an integer for a key": (lambda run: run.sample(0, 2), r"key = 0 is no random key; give jax.random.key\(0\)"),
    "an integer for the likelihood's": (
        lambda run: run.log_likelihood(np.zeros((2, 8, 8, 1), np.uint8), 3),
        "key = 3 is no random key",
    ),
    "an option that does not exist": (lambda run: run.sample(KEY, 2, sampler=ss.samplers.heun, step=5), "mean 'steps'"),
    "an option of another solver": (
        lambda run: run.sample(KEY, 2, sampler=ss.samplers.ode, steps=5),
        "ode has no option 'steps'.*max_steps",
    ),
    "a leaf that the network lacks": (lambda run: run.condition(lable=3, n=2), "'lable' is unknown.*takes 'label'"),
    "a label out of range": (
        lambda run: run.condition(label=17, n=2),
        "label = 17; allowed: 0 to 9, and 10 for no class",
    ),
    "no number of samples": (lambda run: run.condition(label=1), "give n"),
    "a null of another type": (
        lambda run: ss.guidance.classifier_free(run.model, 2.0, null={"label": 0.5}).denoise(
            jnp.zeros((2, 8, 8, 1)), 0.5, run.condition(label=1, n=2)
        ),
        "null value of condition 'label' is 0.5, but the leaf holds int32",
    ),
    "a leaf that the guidance needs": (
        lambda run: run.guided({"text": np.zeros(2)}).denoise(jnp.zeros((2, 8, 8, 1)), 0.5, {"text": np.zeros(2)}),
        "null names the leaves 'label', which the condition lacks; it has 'text'",
    ),
}


@pytest.mark.parametrize(("call", "message"), MISTAKES.values(), ids=MISTAKES.keys())
@pytest.mark.usefixtures("unchecked")
def test_mistakes(run, call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call(run)


def test_samples_of_a_classifier_are_refused():
    config = digits()
    config.task = {"name": "classifier"}
    config.network = {"name": "vector_classifier", "width": 8}
    config.denoiser = {"name": "noisy_classifier"}
    experiment = Experiment.of(config)
    classifier = Run(experiment.task.init(KEY), experiment)
    with pytest.raises(ValueError, match=r"trains a classifier.*ss.guidance.classifier"):
        classifier.sample(KEY, 2)


def test_a_classifier_needs_labels():
    config = toy.get_config()
    config.task, config.network = {"name": "classifier"}, {"name": "vector_classifier"}
    config.denoiser = {"name": "noisy_classifier"}
    with pytest.raises(ValueError, match="'vector_classifier' is for classes, but the data have no labels"):
        Experiment.of(config).task.init(KEY)
