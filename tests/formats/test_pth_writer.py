"""Writing .pth files without PyTorch: what is read back, and that PyTorch's own reader agrees where it is installed."""

import collections
import pickletools
import zipfile

import jax
import ml_dtypes
import numpy as np
import pytest

import score_sde as ss
from score_sde.experiment import Experiment, Run
from score_sde.formats import pth, pth_writer
from score_sde.interop import from_score_sde_pytorch, load_score_sde_pytorch, read_config
from tests.interop.originals import CIFAR10, Original, ncsnpp

ARRAYS = {
    "f": np.arange(6, dtype=np.float32).reshape(2, 3),
    "transposed, of the other byte order": np.arange(6, dtype=">f8").reshape(2, 3).T,
    "half": np.array([1.5, -2], np.float16),
    "brain": np.array([1.5, -2], ml_dtypes.bfloat16),
    "scalar": np.array(7),
    "empty": np.zeros((0, 3), np.float32),
    "bits": np.array([True, False]),
}
PLAIN = {
    "numbers": [0, -1, 255, -(2**40), 1.5, float("inf"), None, True, False],
    "text": "ünï\n",
    "pair": (1, "a"),
    3: {},
}


@pytest.fixture
def file(tmp_path):
    return pth_writer.write(tmp_path / "x.pth", {"arrays": ARRAYS, "plain": PLAIN})


def test_what_was_written_is_read(file):
    found = pth.read(file)
    assert found["plain"] == PLAIN
    for name, value in ARRAYS.items():
        np.testing.assert_array_equal(found["arrays"][name], value)
        assert found["arrays"][name].dtype == value.dtype.newbyteorder("=")


def test_pytorch_reads_it(file):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install -e '.[convert]'")
    for weights_only in (True, False):
        found = torch.load(file, map_location="cpu", weights_only=weights_only)
        assert found["plain"] == PLAIN
        for name, value in ARRAYS.items():
            np.testing.assert_array_equal(found["arrays"][name].double().numpy(), value.astype(np.float64))


def test_it_names_nothing_but_tensors(file):
    """Whoever opens it runs three names of torch and collections at most."""
    with zipfile.ZipFile(file) as archive:
        code = archive.read("archive/data.pkl")
    named = {argument for opcode, argument, _ in pickletools.genops(code) if opcode.name == "GLOBAL"}
    modules = collections.Counter(name.split()[0] for name in named)
    assert set(modules) == {"torch", "torch._utils", "collections"}
    assert {name for name in named if "Storage" not in name} == {
        "torch._utils _rebuild_tensor_v2",
        "collections OrderedDict",
    }


def test_what_cannot_be_written_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"the value\['a'\]\[1\] is an array of complex128"):
        pth_writer.write(tmp_path / "x.pth", {"a": [0, np.zeros(1, complex)]})
    with pytest.raises(ValueError, match=r"the value is a set; a \.pth file can be written of"):
        pth_writer.write(tmp_path / "x.pth", {1})
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore:fields of the config")
def test_a_model_exported_as_pth_comes_back_whole(tmp_path):
    """As a checkpoint of the original: averages in its order, its frozen frequencies among the tensors only."""
    fields = ncsnpp("vesde", nf=8, ch_mult=(1,), num_res_blocks=1, attn_resolutions=(8,)) | {"data.image_size": 8}
    (tmp_path / "config.py").write_text(Original(CIFAR10, fields).text())
    experiment = Experiment.of(read_config(tmp_path / "config.py"))
    made = Run(experiment.model(jax.random.key(0)), experiment, step=12)
    ss.interop.export(made, tmp_path / "checkpoint_1.pth")
    for weights in ("ema", "raw"):
        back = load_score_sde_pytorch(tmp_path / "checkpoint_1.pth", tmp_path / "config.py", weights=weights)
        assert (back.step, back.weights) == (12, weights)
        for one, other in zip(jax.tree.leaves(back.model), jax.tree.leaves(made.model), strict=True):
            np.testing.assert_array_equal(one, other)
    again = from_score_sde_pytorch(pth.read(tmp_path / "checkpoint_1.pth")["model"], made.config)
    assert len(jax.tree.leaves(again.model)) == len(jax.tree.leaves(made.model))
