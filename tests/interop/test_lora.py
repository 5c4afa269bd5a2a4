"""LoRA under the names of others."""

import numpy as np
import pytest
from flax import nnx

from score_sde.formats import safetensors
from score_sde.interop.lora import read_lora, write_lora
from score_sde.networks import LoRA, NCSNpp

SMALL = {"nf": 8, "ch_mult": (1, 2), "num_res_blocks": 1, "attn_resolutions": (4,)}


def base(**options):
    return NCSNpp(8, 1, **SMALL | options, rngs=nnx.Rngs(0))


def some(style):
    alpha = 6.0 if style == "kohya" else None
    lora = LoRA(base(), rank=3, alpha=alpha, match=r"(query|conv_0)\.kernel$", rngs=nnx.Rngs(1))
    for up in lora.up:
        up.set_value(np.random.default_rng(0).normal(size=up.shape).astype(np.float32))
    return lora


@pytest.mark.parametrize("style", ["peft", "kohya"])
def test_round_trip(style, tmp_path):
    """Bit by bit, in the shapes of PyTorch: A (r, in, k, k), B (out, r, 1, 1)."""
    lora = some(style)
    file = write_lora(tmp_path / "lora.safetensors", lora, style)
    names = safetensors.read(file)
    first = "base_model.model.down.0.blocks.0.conv_0.lora_A.weight" if style == "peft" else (
        "lora_unet_down_0_blocks_0_conv_0.lora_down.weight"
    )  # fmt: skip
    assert names[first].shape == (3, 8, 3, 3)
    assert names[first.replace("lora_A", "lora_B").replace("lora_down", "lora_up")].shape == (8, 3, 1, 1)
    back = read_lora(file, base())
    assert (back.names, back.rank, back.alpha) == (lora.names, 3, lora.alpha)
    for (_, one), (_, other) in zip(lora.changes(), back.changes(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_refusals(tmp_path):
    file = write_lora(tmp_path / "lora.safetensors", some("peft"))
    with pytest.raises(ValueError, match=r"is a LoRA for another network: .* its factors are \(3, 3, 8, 3\)"):
        read_lora(file, base(nf=16))
    with pytest.raises(ValueError, match=r"a LoRA for another network; it has down\.1\.attentions\.0\.query"):
        read_lora(file, base(attn_resolutions=(8,)))
    safetensors.write(tmp_path / "other.safetensors", {"weight": np.zeros(2, np.float32)})
    with pytest.raises(ValueError, match="is no LoRA of PEFT or kohya: it has weight"):
        read_lora(tmp_path / "other.safetensors", base())
    with pytest.raises(ValueError, match=r"alpha = 6.0 with rank 3: PEFT keeps it in another file"):
        write_lora(tmp_path / "x.safetensors", some("kohya"), "peft")
