"""The commands for images made elsewhere: folders, zip files, arrays and statistics against each other."""

import json
import pickle
import re
import zipfile

import numpy as np
import pytest
from PIL import Image

from score_sde.cli import _tools
from score_sde.evaluation.commands import compare_images, make_statistics
from score_sde.evaluation.features import weights
from score_sde.evaluation.metrics import frechet, kid

DRAW = np.random.default_rng(0)
IMAGES = {name: DRAW.integers(0, 256, (30, 4, 4, 3)).astype(np.uint8) for name in ("one", "other", "real")}


def flat(name):
    return IMAGES[name].reshape(30, -1) / 255


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """The images as a folder, a zip file, and arrays in ADM's manner."""
    place = tmp_path_factory.mktemp("images")
    (place / "one").mkdir()
    for i, image in enumerate(IMAGES["one"]):
        Image.fromarray(image).save(place / "one" / f"{i:03}.png")
    with zipfile.ZipFile(place / "other.zip", "w") as archive:
        for i, image in enumerate(IMAGES["other"]):
            Image.fromarray(image).save(place / "part.png")
            archive.write(place / "part.png", f"{i:03}.png")
    np.savez(place / "real.npz", arr_0=IMAGES["real"])
    np.save(place / "one.npy", IMAGES["one"])
    return place


def test_compare(places, capsys):
    out = places / "out.json"
    words = ["compare", str(places / "one"), str(places / "other.zip"), f"--held_out={places / 'real.npz'}"]
    assert _tools([*words, "--metrics=fd,kid", "--features=pixels", f"--out={out}"]) == 0
    shown = capsys.readouterr().out
    found = json.loads(out.read_text())
    assert found["metrics"]["fd"]["value"] == pytest.approx(frechet(flat("one"), flat("other")), rel=1e-4)
    assert found["metrics"]["kid"]["value"] == pytest.approx(kid(flat("one"), flat("other")).value, rel=1e-4)
    assert found["metrics"]["fd"]["floor"] == pytest.approx(frechet(flat("real"), flat("other")), rel=1e-4)
    assert [about["features"] for about in found["about"]] == ["pixels"] * 3
    assert "90 % interval" in shown
    assert f"written {out}" in shown


def test_one_of_several_statistics(places):
    mean, covariance = flat("real").mean(axis=0), np.cov(flat("real").T)
    content = {"fid": {"mu": mean, "sigma": covariance}, "fd_dinov2": {"mu": np.zeros(5), "sigma": np.eye(5)}}
    (places / "edm2.pkl").write_bytes(pickle.dumps(content))
    found = compare_images(str(places / "one"), f"{places}/edm2.pkl:fid", metrics="fd", features="pixels")
    assert found["fd"]["value"] == pytest.approx(frechet(flat("one"), flat("real")), rel=1e-4)


def test_the_form_does_not_matter(places):
    options = {"metrics": "fd,kid", "features": "pixels"}
    one = compare_images(str(places / "one"), str(places / "real.npz"), **options)
    assert compare_images(str(places / "one.npy"), str(places / "real.npz"), **options) == one
    make_statistics(str(places / "one"), places / "statistics.npz", features="pixels")
    again = compare_images(str(places / "statistics.npz"), str(places / "real.npz"), **options)
    assert again == one


def test_statistics_for_other_programs(places):
    make_statistics(str(places / "one"), places / "fid.npz", form="pytorch-fid", features="pixels")
    with np.load(places / "fid.npz") as arrays:
        np.testing.assert_allclose(arrays["mu"], flat("one").mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(arrays["sigma"], np.cov(flat("one").T), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["compare", "PLACE/one", "PLACE/two.zip"], "there is no source, file or folder"),
        (["compare", "PLACE/one", "PLACE/real.npz", "--features=fid"], "--features=fid; allowed: efficientnet_lite0"),
        (["compare", "PLACE/one", "PLACE/real.npz", "--features=inception"], "weights of inception are not installed"),
        (
            ["compare", "PLACE/one", "PLACE/real.npz", "--features=pixels", "--metrics=fid"],
            "metrics has 'fid'; allowed",
        ),
        (["compare", "PLACE/one", "PLACE/empty.npz", "--features=pixels"], "empty.npz has no images: no array data"),
        (["statistics", "PLACE/one", "--features=pixels", "--out=a.json"], "--out=a.json must end with .npz"),
    ],
)
def test_mistakes(places, words, message, capsys, monkeypatch):
    monkeypatch.setattr(weights, "CACHE", places / "cache")
    np.savez(places / "empty.npz", other=np.zeros(3))
    assert _tools([word.replace("PLACE", str(places)) for word in words]) == 1
    assert re.search(message, capsys.readouterr().err)
