"""The original's config files of small images train: one step of a narrow network, on images of noise."""

import numpy as np
import pytest

import score_sde as ss
from tests.interop.originals import NCSN, ROWS, Original

SMALL = {
    name: original for name, original in (ROWS | NCSN).items() if "cifar10" in name or "celeba" in name.split("_")[0]
}
IN_CI = ("ve/ncsn/cifar10",)
NAMES = [
    pytest.param(name, marks=[] if name in IN_CI else pytest.mark.slow) for name in SMALL if "celebahq" not in name
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NAMES)
def test_a_step(name, tmp_path):
    """The loss is finite, the parameters move, and the run samples with the file's own sampler."""
    original: Original = SMALL[name]
    file = tmp_path / "their_config.py"
    file.write_text(original.text())
    config = ss.interop.read_config(file)
    size = config.data.to_dict().get("size") or config.example.shape[0]
    images = np.random.default_rng(0).integers(0, 256, (8, size, size, 3), dtype=np.uint8)
    np.savez(tmp_path / "train.npz", data=images)
    config.data = {"name": "arrays", "path": str(tmp_path / "train.npz"), "test_fraction": 0.25}
    config.network.nf = 32 if config.network.name == "ddpm" else 8  # 32 groups
    if "num_res_blocks" in config.network:
        config.network.num_res_blocks = 1
    config.batches.batch_size = 2
    config.training.steps = 1
    config.logging = {"tensorboard": False, "preview": 0}
    run = ss.train(config, tmp_path / "run")
    assert run.step == 1
