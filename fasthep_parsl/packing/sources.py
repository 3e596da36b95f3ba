"""Folders with the source of a package: which files count, and a copy to build from."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

_SKIPPED = {
    ".git", ".hg", ".svn", ".tox", ".nox", ".venv", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis",
    ".import_linter_cache", ".ipynb_checkpoints", "__pycache__", "node_modules",
}  # fmt: skip
_SKIPPED_AT_TOP = {"build", "dist", "venv", "env"}
_ENVIRONMENT_FILES = ("pyvenv.cfg", "conda-meta")
_COPIED = 50_000_000
"""Larger files are linked and not copied: data are not written by a build [bytes]."""


def source_files(source: Path) -> Iterator[tuple[str, Path]]:
    """Yield the files of a source in the order of their names: name and path. Caches and environments are left out."""
    yield from _below(source, "")


def _below(folder: Path, below: str) -> Iterator[tuple[str, Path]]:
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        name = f"{below}{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            if not _is_skipped(entry, below):
                yield from _below(Path(entry.path), f"{name}/")
        elif entry.is_file():
            yield name, Path(entry.path)


def _is_skipped(entry: os.DirEntry[str], below: str) -> bool:
    if entry.name in _SKIPPED or entry.name.endswith(".egg-info") or (not below and entry.name in _SKIPPED_AT_TOP):
        return True
    return any(os.path.lexists(f"{entry.path}/{name}") for name in _ENVIRONMENT_FILES)


def source_key(source: Path) -> str:
    """Return a hash of the names, sizes and times of the files of a source."""
    digest = hashlib.sha256(os.fsencode(source))
    for name, path in source_files(source):
        info = path.stat()
        digest.update(
            f"{name}\0{info.st_size}\0{info.st_mtime_ns}\0{info.st_mode}\n".encode("utf-8", "surrogateescape")
        )
    return digest.hexdigest()


def copy_source(source: Path, target: Path) -> None:
    """Copy a source, so that a build uses nothing that earlier builds have left there, and leaves nothing there.

    Parameters
    ----------
    source : Path
        The folder with ``pyproject.toml`` or ``setup.py``.
    target : Path
        A folder that does not exist.
    """
    for name, path in source_files(source):
        place = target / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if path.stat().st_size > _COPIED:
            place.symlink_to(path.resolve())
        else:
            shutil.copy2(path, place)
