"""Look at a source, or prepare one of TensorFlow Datasets.

score_sde data show digits --split=test --out=digits.png
score_sde data show photos.zip --set size=64
score_sde data prepare cifar10 --data_dir=DIR
"""

import argparse
import ast
import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from score_sde.data.source import Source, entries_of
from score_sde.data.sources import SOURCES, kind_of, open_source
from score_sde.data.sources.tfds import TFDS_NAMES, open_builder

Draw = Callable[[Any, Path], Any]  # draws a contact sheet of a source


def add_commands(commands: Any, draw: Draw | None = None) -> None:
    """Add ``show`` and ``prepare`` to the subparsers of a program, which calls ``run(**rest)`` of the result.

    ``draw(source, path)`` draws the contact sheet of ``show``; without it ``show`` only prints.
    """
    command = commands.add_parser(
        "show",
        help="print what a source holds" + (" and draw a contact sheet" if draw else ""),
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("source", help=f"{', '.join(SOURCES)}, 'package.module:function', or a file or folder")
    command.add_argument("--split", default="train")
    command.add_argument("--set", action="append", default=[], metavar="OPTION=VALUE", help="an option of the source")
    if draw is not None:
        command.add_argument("--out", type=Path, default=Path("contact_sheet.png"), help="where the sheet shall lie")
    command.set_defaults(run=show, draw=draw)

    command = commands.add_parser("prepare", help="fetch and convert a set of TensorFlow Datasets (needs TensorFlow)")
    command.add_argument("dataset", help="cifar10, svhn, celeba, ..., or any TFDS name such as lsun/church_outdoor")
    command.add_argument("--data_dir", help="where it shall lie; TFDS's own folder unless given")
    command.add_argument("--manual_dir", help="where files lie that TFDS cannot fetch, CelebA-HQ's for example")
    command.set_defaults(run=prepare)


def show(
    source: str, split: str = "train", set: Sequence[str] = (), draw: Draw | None = None, out: Path | None = None
) -> Source:
    """Print size, shape, range, levels and labels of a source, draw its contact sheet, and return the source."""
    opened = open_any(source, split, dict(parse_option(option) for option in set))
    for line in describe(opened, split):
        print(line)
    if draw is not None and out is not None:
        draw(opened, out)
        print(f"written   {out}")
    return opened


def open_any(source: str, split: str, options: dict[str, Any]) -> Source:
    """Open a source by name or import path, or the file or folder at a path."""
    path = Path(source).expanduser()
    if source not in SOURCES and path.exists():
        return open_source(kind_of(path), split, path=path, **options)
    return open_source(source, split, **options)


def parse_option(option: str) -> tuple[str, Any]:
    """``"size=64"`` as ("size", 64); other than Python literals are strings."""
    name, equals, value = option.partition("=")
    if not equals:
        raise ValueError(f"--set {option}; it must be OPTION=VALUE, such as --set size=64")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def describe(source: Source, split: str, at_most: int = 10_000) -> list[str]:
    """A description of a source, from its first ``at_most`` examples."""
    few = source.take(np.arange(min(len(source), at_most)))
    looked_at = "" if len(source) <= at_most else f" (of the first {at_most:,})"
    data = few["data"]
    levels = "continuous" if source.levels is None else f"{source.levels} levels"
    lines = [
        f"source    {source.name}, split {split!r}",
        f"examples  {len(source):,}",
        f"shape     {' x '.join(map(str, source.shape))}, {data.dtype}, {levels}",
        f"range     {data.min():.5g} to {data.max():.5g}{looked_at}",
    ]
    others = [f"{name} {few[name].dtype} {few[name].shape[1:]}" for name in entries_of(source) if name != "label"]
    lines += [f"entries   {', '.join(others)}"] if others else []
    if source.num_classes is None:
        return [*lines, "labels    none"]
    counts = np.bincount(few["label"], minlength=source.num_classes)
    listed = ", ".join(f"{k}: {count:,}" for k, count in enumerate(counts[:20])) + (", ..." if len(counts) > 20 else "")
    return [*lines, f"labels    {source.num_classes} classes{looked_at}: {listed}"]


def prepare(dataset: str, data_dir: str | None, manual_dir: str | None) -> None:
    """Download a data set with TFDS and write it as array_record files."""
    dataset = TFDS_NAMES.get(dataset, dataset)
    builder = open_builder(dataset, data_dir)
    if importlib.util.find_spec("tensorflow") is None:
        raise ValueError(
            f"preparing {dataset} needs TensorFlow, reading it afterwards does not. Install it, here or in an "
            "environment of its own, with: pip install 'score_sde[prepare]'"
        )
    import tensorflow_datasets

    builder.download_and_prepare(download_config=tensorflow_datasets.download.DownloadConfig(manual_dir=manual_dir))
    sizes = ", ".join(f"{name}: {split.num_examples:,}" for name, split in builder.info.splits.items())
    print(f"{dataset} is ready in {builder.data_path} ({sizes})")
