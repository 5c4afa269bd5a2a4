"""The labels of images, from their folders or from EDM's ``dataset.json``."""

import json
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Literal, get_args

import numpy as np

from score_sde.checks import require, some_of
from score_sde.data.sources.files import Files

Labels = Literal["auto", "folders", "json", "none"]


def check_labels(labels: str) -> None:
    """Check the kind of labels."""
    require(labels in get_args(Labels), f"labels = {labels!r}; allowed: {', '.join(get_args(Labels))}")


def read_labels(
    files: Files, names: Sequence[str], has_json: bool, labels: Labels, in_training: Sequence[str]
) -> tuple[np.ndarray | None, int | None]:
    """A label for each image and the number of classes, or None and None.

    Classes are the sorted folder names of the images ``in_training``, so a class has the same label in every split,
    even in one that does not contain all classes.
    """
    if labels == "json" or (labels == "auto" and has_json):
        require(has_json, f"labels = 'json', but {files} has no dataset.json at its top")
        found = json_labels(files, names)
        return found, None if found is None else int(found.max()) + 1
    if labels == "none" or (labels == "auto" and not all("/" in name for name in names)):
        return None, None
    require(
        all("/" in name for name in names), f"labels = 'folders', but {files} holds images that are in no sub-folder"
    )
    folders = [PurePosixPath(name).parts[0] for name in names]
    classes = sorted({PurePosixPath(name).parts[0] for name in in_training if "/" in name})
    unknown = sorted(set(folders) - set(classes))
    require(
        not unknown, f"{files} has images of the class {some_of(unknown, 3)}, of which there are none to train with"
    )
    return np.searchsorted(classes, folders).astype(np.int32), len(classes)


def json_labels(files: Files, names: Sequence[str]) -> np.ndarray | None:
    """EDM's {"labels": [[name, label], ...]}, or {"labels": null} for none."""
    where = f"{files}/dataset.json"
    try:
        listed = json.loads(files.read("dataset.json")).get("labels")
        by_name = None if listed is None else dict(listed)
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f'{where} is not of the form {{"labels": [["name.png", 0], ...]}}: {error}') from error
    if by_name is None:
        return None
    missing = [name for name in names if name not in by_name]
    require(not missing, f"{where} gives no label for {len(missing)} of {len(names)} images: {', '.join(missing[:5])}")
    found = [by_name[name] for name in names]
    wrong = [label for label in found if not isinstance(label, int) or label < 0]
    require(not wrong, f"{where} has the label {wrong[:1]}; allowed: integers from 0")
    return np.array(found, np.int32)
