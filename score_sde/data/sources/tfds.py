"""TensorFlow Datasets, prepared as array_record files and read without TensorFlow.

    score_sde data prepare cifar10

prepares a data set (this needs TensorFlow); the functions below read it. Crops are those of Song et al. (2021), who
resize in floating point; here the result is rounded to 256 levels, as in other distributions of these data sets.
"""

import dataclasses
from pathlib import Path
from typing import Any

from PIL import Image

from score_sde.checks import require
from score_sde.data.source import Example, Source, check_split
from score_sde.data.sources.resize import Filter, Fit


def tfds(
    dataset: str,
    split: str = "train",
    *,
    data_dir: str | Path | None = None,
    fit: Fit | None = None,
    flippable: bool = False,
    image_key: str = "image",
    label_key: str = "label",
) -> Source:
    """Any image data set by its TFDS name, such as "mnist" or "lsun/bedroom"; splits may be slices, "train[:90%]".

    The default ``data_dir`` is that of TFDS.
    """
    import tensorflow_datasets

    builder = open_builder(dataset, data_dir)
    features = builder.info.features
    require(
        image_key in features,
        f"tfds {dataset} has no feature {image_key!r}; it has {', '.join(features)}: set image_key",
    )
    where = f" --data_dir={data_dir}" if data_dir else ""
    prepare = f"Prepare it with: score_sde data prepare {dataset}{where}"
    try:
        # tfds.data_source, not the builder, so that tfds.testing.mock_data works.
        records = tensorflow_datasets.data_source(
            dataset, split=split, data_dir=data_dir, download=False, builder_kwargs={"file_format": "array_record"}
        )
    except NotImplementedError as error:
        raise ValueError(f"tfds {dataset} in {builder.data_path} is not in array_record format. {prepare}") from error
    except Exception as error:
        if not builder.info.splits:
            raise FileNotFoundError(f"tfds {dataset} is not in {builder.data_path}. {prepare}") from error
        check_split(f"tfds {dataset}", split, tuple(builder.info.splits))  # an invalid slice passes
        raise
    labelled = label_key in features and hasattr(features[label_key], "num_classes")
    num_classes = features[label_key].num_classes if labelled else None
    shape = features[image_key].shape
    fit = dataclasses.replace(fit or Fit(), channels=shape[-1] or 3)
    if None in shape[:2] and fit.size is None:
        first = records[0][image_key]
        shape = (*first.shape[:2], shape[-1])
    size = fit.size_of(shape[1] or 0, shape[0] or 0, f"tfds {dataset}") if fit.size is None else (fit.size, fit.size)
    return TFDSSource(
        name=dataset,
        records=records,
        fit=fit,
        image_key=image_key,
        label_key=label_key if labelled else None,
        shape=(*size, fit.channels),
        num_classes=num_classes,
        flippable=flippable,
    )


def open_builder(dataset: str, data_dir: str | Path | None) -> Any:
    """The TFDS builder of a data set."""
    import tensorflow_datasets

    try:
        return tensorflow_datasets.builder(dataset, data_dir=data_dir, file_format="array_record")
    except tensorflow_datasets.core.registered.DatasetNotFoundError as error:
        raise ValueError(
            f"TFDS has no set {dataset!r}; see https://www.tensorflow.org/datasets/catalog/overview"
        ) from error


@dataclasses.dataclass(frozen=True, eq=False)
class TFDSSource(Source):
    """Records of TFDS, decoded on access."""

    name: str
    records: Any  # the result of tfds.data_source
    fit: Fit
    image_key: str
    label_key: str | None
    shape: tuple[int, ...]
    num_classes: int | None
    flippable: bool
    levels: int | None = 256

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Example:
        record = self.records[index]
        image = record[self.image_key]
        if image.shape != self.shape:
            image = self.fit(Image.fromarray(image.squeeze()), self.name)
            require(
                image.shape == self.shape,
                f"tfds {self.name} holds images of different sizes, {image.shape} and {self.shape}: give fit, such as "
                "Fit(crop='square', size=64)",
            )
        return {"data": image} if self.label_key is None else {"data": image, "label": record[self.label_key]}


# The data sets of the paper, and their names in TFDS. The paper evaluates CelebA, LSUN and ImageNet on "validation".

TFDS_NAMES = {
    "svhn": "svhn_cropped",
    "celeba": "celeb_a",
    "celebahq": "celeb_a_hq/256",
    "lsun": "lsun/bedroom",
    "imagenet32": "downsampled_imagenet/32x32",
    "imagenet64": "downsampled_imagenet/64x64",
}


def cifar10(split: str = "train", data_dir: str | Path | None = None) -> Source:
    """32 x 32, ten classes; 50,000 + 10,000."""
    return tfds("cifar10", split, data_dir=data_dir, flippable=True)


def svhn(split: str = "train", data_dir: str | Path | None = None) -> Source:
    """House numbers, 32 x 32, ten classes; 73,257 + 26,032, and a split "extra"."""
    return tfds("svhn_cropped", split, data_dir=data_dir)


def celeba(split: str = "train", data_dir: str | Path | None = None, size: int = 64) -> Source:
    """Faces: the central 140 x 140 of 218 x 178 pixels, then resized (antialiased, bilinear)."""
    return tfds("celeb_a", split, data_dir=data_dir, fit=Fit(140, size, "bilinear"), flippable=True)


def celebahq(split: str = "train", data_dir: str | Path | None = None, size: int = 256) -> Source:
    """30,000 faces, prepared by TFDS at sizes up to 1024; only "train"."""
    return tfds(f"celeb_a_hq/{size}", split, data_dir=data_dir, flippable=True)


def lsun(
    split: str = "train", data_dir: str | Path | None = None, category: str = "bedroom", size: int = 256
) -> Source:
    """Scenes: the largest central square, resized (bilinear to 128, as NCSNv2 did, else bicubic)."""
    filter: Filter = "bilinear" if size == 128 else "bicubic"
    fit = Fit("square", size, filter)
    return tfds(f"lsun/{category}", validation_for_test(split), data_dir=data_dir, fit=fit, flippable=True)


def imagenet32(split: str = "train", data_dir: str | Path | None = None) -> Source:
    """Downsampled ImageNet, 32 x 32, without labels, not flipped."""
    return tfds("downsampled_imagenet/32x32", validation_for_test(split), data_dir=data_dir)


def imagenet64(split: str = "train", data_dir: str | Path | None = None) -> Source:
    """Downsampled ImageNet, 64 x 64, without labels, not flipped."""
    return tfds("downsampled_imagenet/64x64", validation_for_test(split), data_dir=data_dir)


def validation_for_test(split: str) -> str:
    """The TFDS split: without public test images, "test" is "validation"."""
    return "validation" if split == "test" else split
