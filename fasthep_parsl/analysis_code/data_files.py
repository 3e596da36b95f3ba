"""Data files that ops read: hash them, and compare copies with their hashes. Files may be larger than memory."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from fasthep_parsl.analysis_code.checksums import digest
from fasthep_parsl.names import harmful
from fasthep_parsl.plan import PlanCode, PlanParameterFile

MOST = 10_000
"""Most files in a folder that a parameter names. A folder with more is probably the wrong one."""


class UnusableFileError(OSError):
    """A file or folder that cannot be a parameter.

    Parameters
    ----------
    message : str
        What is wrong with it, in words that follow its name.
    hint : str
        What to do.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message, self.hint = message, hint


def describe_file(path: Path, name: str) -> PlanParameterFile:
    """Return what a file contains.

    Raises
    ------
    UnusableFileError
        It is empty, or is not a regular file.
    OSError
        It cannot be read.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise UnusableFileError("is not a regular file", "write its content to a file")
    if found.st_size == 0:
        raise UnusableFileError("is empty")
    return PlanParameterFile(name=name, sha256=hash_file(path), size=found.st_size, path=str(path))


def describe_folder(path: Path, name: str) -> PlanParameterFile:
    """Return what a folder contains. Links to files count as files. Folders without files do not count.

    Raises
    ------
    UnusableFileError
        It has no file, too many files, a link to a folder, or anything that is neither file nor folder.
    OSError
        A file cannot be read.
    """
    names = list_folder(path)
    if not names:
        raise UnusableFileError("has no files")
    files = tuple(PlanCode(name=inside, sha256=hash_file(path / inside)) for inside in names)
    size = sum((path / inside).stat().st_size for inside in names)
    return PlanParameterFile(name=name, sha256=digest(files), size=size, path=str(path), folder=True, files=files)


def list_folder(path: Path) -> list[str]:
    """Return the files of a folder and the folders in it, relative to it, sorted.

    Raises
    ------
    UnusableFileError
        See `describe_folder`.
    OSError
        A folder cannot be read.
    """
    found: list[str] = []
    waiting = [path]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                inside = Path(entry.path).relative_to(path).as_posix()
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
                else:
                    found.append(_checked(entry, inside))
                if len(found) > MOST:
                    raise UnusableFileError(f"has more than {MOST:,} files", "name the folder with the data alone")
    return sorted(found)


def _checked(entry: os.DirEntry[str], inside: str) -> str:
    """Return the name of a file in a folder. Raise `UnusableFileError` if it cannot be copied."""
    if harmful(inside):
        raise UnusableFileError(f"has a file with a control character in its name: `{ascii(inside)[1:-1]}`")
    if not entry.is_file():
        what = "a link to a folder" if entry.is_dir() else "neither a file nor a folder"
        raise UnusableFileError(f"has `{inside}`, {what}", "copy its content")
    return inside


def hash_file(path: Path) -> str:
    """Return the sha256 of a file as a hex digest."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_copy(path: Path, planned: PlanParameterFile) -> bool:
    """Return whether `path` has the content of the plan: every file, and no other.

    Raises
    ------
    OSError
        It cannot be read.
    """
    if not planned.folder:
        return path.stat().st_size == planned.size and hash_file(path) == planned.sha256
    hashes = {file.name: file.sha256 for file in planned.files}
    return list_folder(path) == sorted(hashes) and all(hash_file(path / name) == hashes[name] for name in hashes)
