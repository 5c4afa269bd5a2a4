"""What a model is told beside x, by its specification."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import score_sde as ss
from score_sde.conditions import Conditions, Leaf

LABEL = Conditions({"label": Leaf(classes=10)})
BOTH = Conditions(
    {"label": Leaf(classes=10, dropout=0.5), "edges": Leaf(key="map", null=0.0, dropout=0.5, spatial=True)}
)


def test_of_a_batch():
    batch = {"data": np.zeros((3, 4)), "label": np.array([1, 2, 3]), "map": np.ones((3, 4))}
    condition = BOTH.of(batch)
    np.testing.assert_array_equal(condition["label"], batch["label"])
    np.testing.assert_array_equal(condition["edges"], batch["map"])
    assert Conditions().of(batch) is None
    assert (BOTH.entries(), BOTH.entries(spatial=True)) == (("label", "map"), ("map",))
    with pytest.raises(
        ValueError, match="made from the entry 'label' of an example, which the data lack; they have 'data'"
    ):
        LABEL.of({"data": batch["data"]})


def test_leaves_of_equal_dropout_are_dropped_together_as_the_loss_function_does():
    n = 2000
    keys = jax.random.split(jax.random.key(0), n)
    condition = {"label": jnp.arange(n) % 10, "edges": jnp.ones((n, 2))}
    dropped = BOTH.dropped(condition, keys)
    gone = np.asarray(dropped["label"] == 10)
    np.testing.assert_array_equal(gone, np.asarray(dropped["edges"] == 0).all(axis=1))
    assert abs(gone.mean() - 0.5) < 4 * 0.5 / np.sqrt(n)
    same = ss.losses.drop_condition(condition, keys, 0.5, BOTH.null)
    jax.tree.map(np.testing.assert_array_equal, dropped, same)


def test_made_for_samples():
    assert LABEL.make(3, label=2)["label"].tolist() == [2, 2, 2]
    assert LABEL.make(label=[1, 2])["label"].tolist() == [1, 2]
    assert LABEL.make(2)["label"].tolist() == [10, 10]
    assert Conditions().make(5) is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LABEL.make(2, label=11), "condition label = 11; allowed: 0 to 9, and 10 for no class"),
        (lambda: LABEL.make(2, label=0.5), "condition label = 0.5; allowed"),
        (lambda: LABEL.make(2, labels=1), "condition 'labels' is unknown; this model takes 'label'"),
        (lambda: LABEL.make(3, label=[1, 2]), "give one for each sample, or a number"),
        (lambda: LABEL.make(label=1), "give n, the number of samples"),
        (lambda: Leaf(dropout=1.5), "dropout = 1.5; allowed: 0 to 1"),
        (lambda: Leaf(classes=3, null=2), "null = 2 beside classes = 3"),
        (
            lambda: Conditions({"y": Leaf(null=0.5)}).dropped(
                {"y": jnp.arange(2)}, jax.random.split(jax.random.key(0), 2)
            ),
            "the null value of condition 'y' is 0.5, but the leaf holds int32",
        ),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()
