"""Features without a published network, against NumPy."""

import jax
import numpy as np
import pytest
from flax import nnx

from score_sde.data import ArraySource
from score_sde.evaluation import statistics_of
from score_sde.evaluation.features import classifier, function, pca, pixels
from score_sde.guidance import NoisyClassifier
from score_sde.networks import Classifier
from score_sde.sde import VP

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 4, 4, 1)).astype(np.uint8)


def test_principal_components(tmp_path):
    file = tmp_path / "pixels.npz"
    statistics_of(ArraySource("images", IMAGES, levels=256), pixels(), file, progress=False)
    found = np.asarray(pca(file, components=5)(IMAGES), np.float64)
    x = IMAGES.reshape(20, 16) / 255
    singular = np.linalg.svd(x - x.mean(axis=0), compute_uv=False)
    np.testing.assert_allclose(np.sqrt(np.diag(found.T @ found)), singular[:5], rtol=1e-4)
    np.testing.assert_allclose(found.T @ found - np.diag(singular[:5] ** 2), 0, atol=1e-4)
    with pytest.raises(ValueError, match=r"components = 17; allowed: 1 to 16"):
        pca(file, components=17)
    with pytest.raises(ValueError, match=r"images of 4 values; the principal components are those of 16 values"):
        pca(file, components=5)(IMAGES[:, :2, :2])


def test_a_classifiers_last_features_give_its_logits():
    network = Classifier(
        4, 1, num_classes=3, nf=4, ch_mult=(1,), num_res_blocks=1, attn_resolutions=(), rngs=nnx.Rngs(0)
    )
    network.logits.kernel[...] = jax.random.normal(jax.random.key(0), network.logits.kernel.shape)
    model = NoisyClassifier(VP(), network)
    features = classifier(model)(IMAGES)
    logits = model.logits(IMAGES / np.float32(127.5) - 1, VP().t_min)
    np.testing.assert_allclose(network.logits(features), logits, rtol=1e-4, atol=1e-5)
    other = NoisyClassifier(
        VP(),
        Classifier(4, 1, num_classes=3, nf=4, ch_mult=(1,), num_res_blocks=1, attn_resolutions=(), rngs=nnx.Rngs(1)),
    )
    assert classifier(model).hash != classifier(other).hash


def mean_colour(images):
    return images.mean(axis=(1, 2))


def test_a_function_of_ones_own():
    own = function(mean_colour, version="2")
    np.testing.assert_allclose(own(IMAGES), IMAGES.mean(axis=(1, 2)), rtol=1e-5)
    assert own.about["features"] == "tests.evaluation.features.test_simple:mean_colour 2"
