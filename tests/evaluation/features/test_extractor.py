"""What an extractor takes, what it refuses, and what its numbers depend on."""

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from score_sde.evaluation.features import RESIZES, Extractor, dinov2, efficientnet_lite0, inception, weights
from score_sde.formats import pth_writer
from tests.evaluation.features.weights import images


def flat(weights, x):
    return weights["scale"] * x.reshape(x.shape[0], -1)


def extractor(**options):
    return Extractor("flat", flat, {"scale": np.float32(2)}, **options)


def test_bytes_are_resized_and_normalised():
    x = images(3, 8)
    found = extractor(mean=127.0, deviation=128.0)(x)
    np.testing.assert_allclose(found, 2 * (x.reshape(3, -1) - 127.0) / 128, rtol=1e-6)
    assert extractor(size=4)(x).shape == (3, 4 * 4 * 3)


def test_one_channel_is_repeated_unless_the_network_is_for_grey():
    x = images(2, 8, 1)
    np.testing.assert_allclose(extractor()(x), extractor()(np.repeat(x, 3, axis=3)))
    assert extractor(grey=True)(x).shape == (2, 64)


def test_floats_are_rounded_to_bytes_as_if_saved():
    x = images(2, 8) + 0.3
    np.testing.assert_allclose(extractor()(x), extractor()(images(2, 8)))
    assert float(jnp.abs(extractor(quantise=False)(x) - extractor()(x)).max()) > 0.5
    np.testing.assert_allclose(extractor()(np.full((1, 2, 2, 3), 300.0)), 2 * 255.0)


def test_the_hash_is_that_of_the_weights():
    other = Extractor("flat", flat, {"scale": np.float32(3)})
    assert extractor().hash == extractor(size=4).hash != other.hash
    assert extractor(size=4).about == {
        "features": "flat", "weights": extractor().hash, "size": 4, "resize": "bicubic", "quantise": True,
        "normalisation": "(x - 0.0)/1.0",
    }  # fmt: skip


def test_bad_input(tmp_path, unchecked):
    with pytest.raises(ValueError, match=r"images of shape \(2, 8, 8\); give \(n, height, width, channels\)"):
        extractor()(np.zeros((2, 8, 8)))
    with pytest.raises(ValueError, match="resize = 'lanczos'; allowed: 'bicubic', 'bicubic_bytes'"):
        extractor(resize="lanczos")
    other = pth_writer.write(tmp_path / "other.pth", {"layer.weight": np.zeros((2, 2), np.float32)})
    with pytest.raises(ValueError, match="it is not EfficientNet-Lite0's"):
        efficientnet_lite0(other)
    with pytest.raises(ValueError, match="the file has 0 convolutions; InceptionV3 for FID has 94"):
        inception(other)
    with pytest.raises(ValueError, match="the file is not a DINOv2 S, B or L"):
        dinov2(other)
    with pytest.raises(ValueError, match=r"size = 65; allowed: multiples of 32"):
        efficientnet_lite0(other, size=65)
    with pytest.raises(ValueError, match="mode = 'fid'; allowed: 'tf', 'pytorch-fid', 'clean-fid'"):
        inception(other, mode="fid")


def test_weights_are_installed_once(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "CACHE", tmp_path / "cache")
    with pytest.raises(ValueError, match=r"weights of inception are not installed .* score_sde weights inception FILE"):
        inception()
    arrays = {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3)}
    weights.install("inception", pth_writer.write(tmp_path / "a.pth", arrays))
    np.testing.assert_array_equal(weights.read("inception", None)["a.weight"], arrays["a.weight"])
    with pytest.raises(
        ValueError, match=r"b\.pth does not exist, or is no file; the weights of dinov2 are dinov2_vitl14"
    ):
        dinov2(tmp_path / "b.pth")


@pytest.mark.parametrize(("old", "new"), [(32, 224), (64, 30)])
def test_bytes_are_resized_as_pillow_does(old, new):
    """dgm-eval resizes bytes with Pillow, which computes in fixed point: one level off at most, and seldom."""
    image = np.random.default_rng(0).integers(0, 256, (old, old, 3)).astype(np.uint8)
    wanted = np.asarray(Image.fromarray(image).resize((new, new), Image.Resampling.BICUBIC)).astype(int)
    found = np.asarray(RESIZES["bicubic_bytes"](jnp.asarray(image[None], jnp.float32), new))[0].astype(int)
    assert np.abs(found - wanted).max() <= 1
    assert np.mean(found != wanted) < 0.02
