"""The share of samples that show what they were told."""

import jax
import jax.numpy as jnp
import numpy as np

import score_sde as ss
from score_sde.conditions import Conditions, Leaf
from score_sde.evaluation import Agreement, Subject

SDE = ss.VP()
CLASSES = Conditions({"label": Leaf(classes=4)})


def model():
    """One that draws the number it is told, in all pixels."""

    def data(x, t, condition):
        return jnp.broadcast_to(condition["label"].reshape(-1, 1, 1, 1) / 4.0, x.shape)

    return ss.FunctionDenoiser(SDE, data, predicts="data")


def right(samples, examples):
    found = np.round(4 * samples.mean(axis=(1, 2, 3))).astype(int)
    return {"all": found == examples["label"], "low": found < 2}


def share(labels, **options):
    batch = {"data": np.zeros((8, 2, 2, 1), np.float32), "label": np.array(labels), "index": np.arange(8)}
    measure = Agreement(right, first=None, **options)
    subject = Subject(model(), conditions=CLASSES)
    values = {name: np.asarray(v) for name, v in measure.measure(subject, batch, jax.random.key(0)).items()}
    return measure.result(subject, measure.add(measure.begin(8), slice(0, 8), values))


def test_samples_of_a_model_that_draws_what_it_is_told_agree():
    found = share([0, 1, 2, 3, 0, 1, 2, 3])
    assert found["mean"] == 1.0
    assert found["low"]["mean"] == 0.5
    assert found["failed"]["mean"] == 0.0


def test_shuffled_conditions_are_those_of_other_examples_even_if_neighbours_are_alike():
    assert share([0, 0, 0, 0, 3, 3, 3, 3], shuffled=True)["mean"] == 0.0
