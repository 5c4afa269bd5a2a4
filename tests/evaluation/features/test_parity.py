"""Features against other people's networks, with weights that follow from their names, and resizes against theirs.

``record.py`` made the arrays; it needs torch, these tests do not.
"""

import importlib.util
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from score_sde.evaluation.features import RESIZES, dinov2, efficientnet_lite0, inception
from score_sde.evaluation.features.dinov2 import resized_positions
from score_sde.evaluation.features.efficientnet import PACKAGE
from score_sde.formats import pth_writer, safetensors
from tests.evaluation.features.weights import images, state

HERE = Path(__file__).parent
SHAPES = {
    network: {name: tuple(shape) for name, shape in shapes.items()}
    for network, shapes in json.loads((HERE / "shapes.json").read_text()).items()
}


@pytest.fixture(scope="module")
def recorded():
    with np.load(HERE / "parity.npz") as arrays:
        return dict(arrays)


@pytest.fixture(autouse=True)
def _exact():
    with jax.default_matmul_precision("highest"):
        yield


def close(found, wanted, tolerance=1e-4):
    """Relative to the largest."""
    assert np.max(np.abs(np.asarray(found) - wanted)) < tolerance * np.max(np.abs(wanted))


@pytest.fixture(scope="module")
def inception_file(tmp_path_factory):
    file = tmp_path_factory.mktemp("weights") / "pt_inception.pth"
    pth_writer.write(file, state(SHAPES["inception"]))
    return file


@pytest.mark.parametrize(
    ("mode", "output"),
    [  # logits are linear in pool3
        ("tf", "logits"),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (("tf", "pool3"), ("tf", "spatial"), ("pytorch-fid", "pool3"))
        ),
    ],
)
def test_inception(recorded, inception_file, mode, output):
    close(inception(inception_file, mode=mode, output=output)(images(2, 32)), recorded[f"inception/{mode}/{output}"])


def test_modes_differ_by_much_more_than_the_tolerance(recorded):
    one, other = recorded["inception/tf/pool3"], recorded["inception/pytorch-fid/pool3"]
    assert np.max(np.abs(one - other)) > 0.01 * np.max(np.abs(one))


@pytest.mark.parametrize("size", [224, 518])
def test_dinov2_of_hugging_face(recorded, tmp_path, size):
    safetensors.write(tmp_path / "model.safetensors", state(SHAPES["dinov2"]))
    extract = dinov2(tmp_path / "model.safetensors", size=size)
    assert extract.name == "DINOv2 S (edm2)"
    close(extract(images(1, size)), recorded[f"dinov2/{size}"])


def test_dinov2_of_torch_hub_is_the_same_under_other_names(tmp_path):
    """And its position embeddings are resized with an offset."""
    theirs = state(SHAPES["dinov2"])
    hub = {
        "cls_token": theirs["embeddings.cls_token"],
        "pos_embed": theirs["embeddings.position_embeddings"],
        "patch_embed.proj.weight": theirs["embeddings.patch_embeddings.projection.weight"],
        "patch_embed.proj.bias": theirs["embeddings.patch_embeddings.projection.bias"],
        "norm.weight": theirs["layernorm.weight"],
        "norm.bias": theirs["layernorm.bias"],
    }
    for i in range(2):
        layer = f"encoder.layer.{i}"
        for part in ("weight", "bias"):
            qkv = [theirs[f"{layer}.attention.{name}_proj.{part}"] for name in "qkv"]
            hub[f"blocks.{i}.attn.qkv.{part}"] = np.concatenate(qkv)
            hub[f"blocks.{i}.attn.proj.{part}"] = theirs[f"{layer}.attention.o_proj.{part}"]
            for name in ("mlp.fc1", "mlp.fc2", "norm1", "norm2"):
                hub[f"blocks.{i}.{name}.{part}"] = theirs[f"{layer}.{name}.{part}"]
        for k in (1, 2):
            hub[f"blocks.{i}.ls{k}.gamma"] = theirs[f"{layer}.layer_scale{k}.lambda1"]
    safetensors.write(tmp_path / "hub.safetensors", hub)
    safetensors.write(tmp_path / "theirs.safetensors", theirs)
    x = images(1, 224)
    one = dinov2(tmp_path / "hub.safetensors", offset=0.0)(x)
    np.testing.assert_allclose(one, dinov2(tmp_path / "theirs.safetensors")(x), rtol=1e-6)
    assert np.abs(dinov2(tmp_path / "hub.safetensors")(x) - one).max() > 1e-5


def test_files_of_transformers_4_have_other_names(tmp_path):
    theirs = state(SHAPES["dinov2"])
    names = {
        "q_proj": "attention.query",
        "k_proj": "attention.key",
        "v_proj": "attention.value",
        "o_proj": "output.dense",
    }
    old = {}
    for name, value in theirs.items():
        for new, before in names.items():
            name = name.replace(f"attention.{new}", f"attention.{before}")
        old[f"dinov2.{name}"] = value
    safetensors.write(tmp_path / "old.safetensors", old)
    safetensors.write(tmp_path / "new.safetensors", theirs)
    assert dinov2(tmp_path / "old.safetensors").hash == dinov2(tmp_path / "new.safetensors").hash


def test_position_embeddings_as_torch_hub_resizes_them(recorded):
    grid = state({"positions.weight": (1, 8, 37, 37)})["positions.weight"][0].transpose(1, 2, 0).reshape(-1, 8)
    ours = resized_positions(np.concatenate([np.zeros((1, 8), np.float32), grid]), 16, 0.1)[1:].reshape(16, 16, 8)
    close(ours, recorded["dinov2/positions of the hub"], 1e-5)


@pytest.mark.skipif(importlib.util.find_spec(PACKAGE) is None, reason="pip install 'score_sde[metrics]'")
@pytest.mark.parametrize("size", [64, 224])
def test_efficientnet(recorded, size):
    """Of the same pictures at the same size: no resize."""
    x = images(2, size)
    close(efficientnet_lite0(size=size)(x), recorded[f"efficientnet/{size}"])
    close(efficientnet_lite0(size=size, logits=True)(x), recorded[f"efficientnet/{size}/logits"])


@pytest.mark.parametrize("name", ["bicubic", "bilinear", "bilinear_tf1"])
@pytest.mark.parametrize(("old", "new"), [(32, 75), (100, 37)])
def test_resizes(recorded, name, old, new):
    """Within 2e-3 of a grey level of 255."""
    ours = RESIZES[name](jnp.asarray(images(1, old), jnp.float32), new)[0].transpose(2, 0, 1)
    assert np.abs(ours - recorded[f"resize/{name}/{old}/{new}"]).max() < 2e-3
