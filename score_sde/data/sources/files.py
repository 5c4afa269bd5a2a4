"""The files in a folder or a zip file, by their relative names."""

import dataclasses
import os
import zipfile
from functools import cached_property
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from score_sde.checks import require


@dataclasses.dataclass(frozen=True)
class Files:
    """Read files by name; a zip file is opened once in each process that reads from it.

    ``folder``: only the files below this folder of a zip file, by their names relative to it.
    """

    path: Path
    folder: str = ""

    def __str__(self) -> str:
        return str(self.path / self.folder)

    def within(self, folder: str) -> "Files":
        """The files below one of the folders."""
        return Files(self.path / folder) if self.path.is_dir() else Files(self.path, folder)

    def folders(self) -> list[str]:
        """The top-level folders, sorted by name."""
        if self.path.is_dir():
            return sorted(entry.name for entry in self.path.iterdir() if entry.is_dir() and not is_hidden(entry.name))
        return sorted({PurePosixPath(name).parts[0] for name in self.names() if "/" in name})

    def names(self) -> list[str]:
        """All files except hidden ones, sorted by name. In a zip file, names that point outside it are an error."""
        if self.path.is_dir():
            found = [
                Path(folder, file).relative_to(self.path).as_posix()
                for folder, _, files in os.walk(self.path, followlinks=True)
                for file in files
            ]
        else:
            found = [info.filename for info in self._zip.infolist() if not info.is_dir()]
            for name in found:
                check_inside(name, self.path)
            found = [name.removeprefix(self._prefix) for name in found if name.startswith(self._prefix)]
        return sorted(name for name in found if not is_hidden(name))

    def read(self, name: str) -> bytes:
        """The contents of one file."""
        return (self.path / name).read_bytes() if self.path.is_dir() else self._zip.read(self._prefix + name)

    def open(self, name: str) -> Any:
        """Open one file, to read its beginning."""
        return (self.path / name).open("rb") if self.path.is_dir() else self._zip.open(self._prefix + name)

    @property
    def _prefix(self) -> str:
        return f"{self.folder}/" if self.folder else ""

    @cached_property
    def _zip(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self.path)
        except zipfile.BadZipFile as error:
            raise ValueError(f"{self.path} is no folder and no zip file ({error})") from error

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "folder": self.folder}  # not the open zip file

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


def is_hidden(name: str) -> bool:
    """Whether a file, or a folder above it, is hidden or a system file such as __MACOSX."""
    return any(part[0] in "._" for part in PurePosixPath(name).parts)


def check_inside(name: str, path: Path) -> None:
    """Raise an error for names outside the archive: nothing is unpacked, but such a file cannot be trusted."""
    windows = PureWindowsPath(name)
    require(
        not (name.startswith("/") or windows.drive or windows.root or ".." in windows.parts),
        f"{path} holds a file named {name!r}: absolute names and '..' are refused; pack the images with relative names",
    )
