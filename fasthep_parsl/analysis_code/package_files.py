"""Files of a package that travel with it: everything that is not rubbish, hidden, or too much."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

INIT = "__init__.py"
SIZE_LIMIT = 100_000_000
"""Most bytes of the data files of a package."""
COUNT_LIMIT = 5_000
"""Most data files of a package."""
RUBBISH_FOLDERS = frozenset({"__pycache__", "node_modules"})
RUBBISH_SUFFIXES = (".pyc", ".pyo", "~", ".egg-info", ".dist-info", ".o")
FOREIGN_MARKS = ("pyvenv.cfg", "conda-meta", "events.jsonl")
"""A folder that contains one of these is an environment or a run directory."""


@dataclass(frozen=True, slots=True)
class PackageFiles:
    """Files in the folder of a package.

    Attributes
    ----------
    files : tuple of Path
        All that travel, sorted; without data files if these are too many.
    excess : str
        Why the data files do not travel, empty if they do.
    """

    files: tuple[Path, ...]
    excess: str = ""


def package_files(folder: Path, excluded: Collection[Path] = ()) -> PackageFiles:
    """Return the files of a package. Links are followed. Files in `excluded` do not belong to it."""
    walk = _Walk(folder, excluded)
    walk.visit(folder, ())
    return PackageFiles(tuple(sorted(walk.code if walk.excess else [*walk.code, *walk.data])), walk.excess)


class _Walk:
    """Visit of the folders of a package. When there is too much data, it visits only folders with ``__init__.py``."""

    def __init__(self, package: Path, excluded: Collection[Path]) -> None:
        self.package, self.excluded = package, excluded
        self.code: list[Path] = []
        self.data: list[Path] = []
        self.excess = ""
        self._size = 0
        self._largest = (0, package)

    def visit(self, folder: Path, above: tuple[tuple[int, int], ...]) -> None:
        """Visit a folder. `above` identifies the folders above it: a link to one of them is not followed."""
        try:
            status = folder.stat()
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:  # it is not readable, or has vanished
            return
        own = (status.st_dev, status.st_ino)
        names = {entry.name for entry in entries}
        if own in above or (above and not names.isdisjoint(FOREIGN_MARKS)):
            return
        if self.excess and INIT not in names:
            return
        for entry in entries:
            if not _is_rubbish(entry.name) and entry.is_dir():
                self.visit(folder / entry.name, (*above, own))
            elif not _is_rubbish(entry.name) and entry.is_file():
                self._add(folder / entry.name, entry)

    def _add(self, path: Path, entry: os.DirEntry[str]) -> None:
        if path in self.excluded:
            return
        if path.suffix == ".py":
            self.code.append(path)
            return
        if self.excess:
            return
        self.data.append(path)
        try:
            size = entry.stat().st_size
        except OSError:  # it has vanished; reading it reports that
            return
        self._size += size
        self._largest = max(self._largest, (size, path))
        if self._size > SIZE_LIMIT:
            name = self._largest[1].relative_to(self.package.parent)
            detail = f"`{name}` has {self._largest[0] / 1e6:,.0f} MB"
            self.excess = f"they have more than {SIZE_LIMIT / 1e6:.0f} MB ({detail})"
        elif len(self.data) > COUNT_LIMIT:
            self.excess = f"they are more than {COUNT_LIMIT:,}"


def _is_rubbish(name: str) -> bool:
    return name.startswith((".", "#")) or name in RUBBISH_FOLDERS or name.endswith(RUBBISH_SUFFIXES)
