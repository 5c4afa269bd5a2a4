"""The models in the box: each loads, is the one that its card describes, and its figures can be traced."""

import re
from pathlib import Path

import jax
import numpy as np
import pytest

import score_sde as ss
from score_sde import box, parameters

ROOT = Path(__file__).parents[1]
NAMES = box.names()


@pytest.mark.parametrize("name", NAMES)
def test_a_model_and_its_card(name):
    """Loading compares the hash of the weights with the card's."""
    run = ss.pretrained(name)
    card = run.card
    trained = parameters.split(run.model)[0]
    assert card.parameters == sum(value.size for value in trained.values())
    assert all(np.isfinite(np.asarray(value)).all() for value in trained.values())
    assert run.config.seed == card.seed
    assert card.figures, "measure it: python experiments/box/make.py measure"
    for what, figure in card.figures.items():
        assert np.isfinite(figure.value), what
        assert figure.uncertainty, what
        assert figure.device, what
        assert (ROOT / re.search(r"python (\S+\.py)", figure.command).group(1)).exists(), figure.command
    config = re.search(r"--config=(\S+)", card.command).group(1)
    assert (ROOT / config).exists()


@pytest.mark.parametrize("name", NAMES)
def test_a_model_works(name):
    run = ss.pretrained(name)
    x = jax.random.normal(jax.random.key(0), (2, *run.shape))
    if hasattr(run.model, "logits"):
        out = run.model.logits(x, 0.5)
    elif isinstance(run.model, ss.flow_map.FlowMap):
        out = run.model(x, 0.5, 0.1, run.some_labels(2))
    else:
        out = run.model.denoise(x, 0.5, run.some_labels(2))
    assert np.isfinite(np.asarray(out)).all()


def test_the_box_is_small():
    sizes = [file.stat().st_size for file in box.BOX.glob("*/weights.safetensors")]
    assert max(sizes, default=0) <= 5e6
    assert sum(sizes) <= 12e6


def test_the_list(capsys):
    assert tuple(ss.pretrained()) == NAMES
    with pytest.raises(ValueError, match=r"there is no model 'digit' in the box"):
        ss.pretrained("digit")
