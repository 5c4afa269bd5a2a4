"""The files of a folder or of a zip file, by their names within it."""

import dataclasses
import os
import zipfile
from functools import cached_property
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from score_sde.checks import require


@dataclasses.dataclass(frozen=True)
class Files:
    """Reads files by name; a zip file is opened once in each process that reads from it."""

    path: Path

    def names(self) -> list[str]:
        """Every file in a fixed order, hidden ones left out. In a zip, names that lead out of it are refused."""
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
        return sorted(name for name in found if not any(part[0] in "._" for part in PurePosixPath(name).parts))

    def read(self, name: str) -> bytes:
        """The contents of one file."""
        return (self.path / name).read_bytes() if self.path.is_dir() else self._zip.read(name)

    @cached_property
    def _zip(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self.path)
        except zipfile.BadZipFile as error:
            raise ValueError(f"{self.path} is no folder and no zip file ({error})") from error

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path}  # not the open zip file

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


def check_inside(name: str, path: Path) -> None:
    """Refuse names that reach outside the archive: nothing is unpacked here, but such a file is not to be trusted."""
    windows = PureWindowsPath(name)
    require(
        not (name.startswith("/") or windows.drive or windows.root or ".." in windows.parts),
        f"{path} holds a file named {name!r}: absolute names and '..' are refused; pack the images with relative names",
    )
