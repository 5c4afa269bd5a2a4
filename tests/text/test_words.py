"""Captions as words."""

import warnings

import numpy as np
import pytest

from score_sde.text import TextEncoder, Words, vocabulary_of

COLOURS = Words(length=5, words=("a", "blue", "red", "square"))


def test_words_in_order_after_the_start():
    found = COLOURS.encode(["a red square", "Square, BLUE!", ""])
    np.testing.assert_array_equal(found, [[1, 3, 5, 6, 0], [1, 6, 4, 0, 0], [1, 0, 0, 0, 0]])
    assert found.dtype == np.int32
    assert COLOURS.vocabulary == 7
    assert isinstance(COLOURS, TextEncoder)


def test_the_vocabulary_is_that_of_the_captions():
    captions = ["a red circle", "the circle, red", "x1 y"]
    assert vocabulary_of(captions) == ("a", "circle", "red", "the", "x1", "y")
    assert set(vocabulary_of(captions, most=2)) == {"circle", "red"}
    assert Words().knowing(captions).words == vocabulary_of(captions)
    assert COLOURS.knowing(captions) is COLOURS
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Words().knowing(captions).encode(captions)


def test_what_is_lost_is_said():
    with pytest.warns(
        UserWarning,
        match=r"'a red square a blue square' has 6 tokens, and the encoder takes 4; left out: 'blue square'",
    ):
        found = COLOURS.encode(["a red square a blue square"])
    np.testing.assert_array_equal(found, [[1, 3, 5, 6, 3]])
    with pytest.warns(UserWarning, match="words that the training data did not have: green, round"):
        assert COLOURS.encode(["round green square"]).tolist() == [[1, 2, 2, 6, 0]]


def test_refusals():
    with pytest.raises(ValueError, match="length = 1; allowed: 2 or more"):
        Words(length=1)
    with pytest.raises(ValueError, match="some are there twice"):
        Words(words=("a", "a"))
