"""The box's ``shapes`` draws what captions say that it has never seen."""

import jax
import numpy as np
import pytest

import score_sde as ss
from score_sde.data.sources import shapes


@pytest.fixture(scope="module")
def run():
    return ss.pretrained("shapes")


def entries(rows):
    return {name: rows[:, i] for i, name in enumerate(shapes.ATTRIBUTES)}


def test_combinations_that_were_held_out_are_right_and_others_are_not(run):
    rows = shapes.COMBINATIONS[np.repeat(shapes.HELD_OUT, 2)]
    condition = run.condition(text=[shapes.caption(row) for row in rows])
    out = run.sample(jax.random.key(0), len(rows), condition=condition, steps=11)
    images = np.asarray(run.to_images(out.x))
    found = shapes.agrees(images, entries(rows))
    assert found["all"].mean() >= 0.85
    for name in shapes.ATTRIBUTES:
        assert found[name].mean() >= 0.9
    of_another = shapes.agrees(images, entries(np.roll(rows, len(rows) // 2, axis=0)))
    assert of_another["all"].mean() <= 0.03
    words = set(run.config.example.words)
    assert words == {word for row in shapes.COMBINATIONS for word in shapes.caption(row).split()}
