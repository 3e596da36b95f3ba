"""The files of an archive before they are packed: names, sources, links."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fasthep_parsl.errors import SiteError

Skip = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Member:
    """A file, a link or an empty folder of an archive.

    Attributes
    ----------
    name : str
        Path in the archive.
    kind : {"file", "link", "folder"}
        What it is.
    source : str
        The file that is packed; empty for links, folders and files with a given `content`.
    target : str
        Target of a link.
    content : bytes
        Content of a file that has no source.
    identity : tuple of int
        Size, modification time [ns] and inode of the source: a file that changes is noticed.
    executable : bool
        Whether it is a program.
    """

    name: str
    kind: Literal["file", "link", "folder"] = "file"
    source: str = ""
    target: str = ""
    content: bytes = b""
    identity: tuple[int, int, int] = (0, 0, 0)
    executable: bool = False

    @property
    def size(self) -> int:
        """Size of the source [bytes]."""
        return self.identity[0] if self.source else len(self.content)


def file_member(name: str, source: str, info: os.stat_result | None = None) -> Member:
    """Return the member for a file, with the identity that it has now."""
    found = info or os.stat(source)  # noqa: PTH116 - names that are no text
    return Member(name, source=source, identity=identity_of(found), executable=bool(found.st_mode & stat.S_IXUSR))


def identity_of(info: os.stat_result) -> tuple[int, int, int]:
    """Return size, modification time and inode."""
    return info.st_size, info.st_mtime_ns, info.st_ino


def _nothing(_: str) -> bool:
    return False


def walk(root: Path, skip: Skip = _nothing, below: str = "") -> Iterator[Member]:
    """Yield the members of a folder, in the order of their names.

    Links within the folder become relative, so that they are valid at any place. Files that links outside of it name are
    copied.

    Parameters
    ----------
    root : Path
        The folder.
    skip : callable
        Called with a path relative to `root`; what it accepts is left out, with everything below.
    below : str
        Folder relative to `root` to begin at.

    Raises
    ------
    SiteError
        Something cannot be packed: a socket, a file that cannot be read, a link to nothing.
    """
    folder = root / below
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        raise _refused(folder, f"cannot be read: {error.strerror}") from None
    empty = True
    for entry in entries:
        name = f"{below}/{entry.name}" if below else entry.name
        if skip(name):
            continue
        empty = False
        if entry.is_symlink():
            yield _link(root, name, entry.path)
        elif entry.is_dir(follow_symlinks=False):
            yield from walk(root, skip, name)
        elif entry.is_file(follow_symlinks=False):
            yield file_member(name, entry.path, entry.stat(follow_symlinks=False))
        else:
            raise _refused(entry.path, "is a socket, a pipe or a device")
    if empty and below and not below.endswith("__pycache__"):
        yield Member(below, "folder")


def _link(root: Path, name: str, path: str) -> Member:
    target = os.readlink(path)  # noqa: PTH115 - names that are no text
    start = os.path.dirname(path)  # noqa: PTH120
    place = os.path.normpath(os.path.join(start, target))  # noqa: PTH118
    if place.startswith(f"{root}/"):
        return Member(name, "link", target=os.path.relpath(place, start))
    real = os.path.realpath(path)
    if real.startswith(f"{os.path.realpath(root)}/") and not os.path.isabs(target):  # noqa: PTH117
        return Member(name, "link", target=target)
    if os.path.isfile(real):  # noqa: PTH113
        return file_member(name, real)
    if os.path.isdir(real):  # noqa: PTH112
        raise _refused(path, f"is a link to the folder `{real}`, which is not part of the environment")
    raise _refused(path, f"is a link to `{target}`, which does not exist")


def _refused(path: str | Path, why: str) -> SiteError:
    name = os.fsencode(path).decode("utf-8", "backslashreplace")
    return SiteError(f"packing: `{name}` {why}; remove it from the environment")
