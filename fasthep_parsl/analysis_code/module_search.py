"""Search for the files of the user's modules, as Python's import system does, without importing them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from fasthep_parsl.analysis_code.package_files import INIT
from fasthep_parsl.analysis_code.user_code import (
    archive_of,
    comes_first,
    editable,
    is_installed,
    plugin_packages,
    user_folders,
)


@dataclass(frozen=True, slots=True)
class ModuleFile:
    """The file of a module.

    Attributes
    ----------
    names : tuple of str
        The parts of its dotted name.
    path : Path
        The file.
    root : Path
        Folder in which the search for the first part has found it.
    library : bool
        Whether Python finds it without this package: in a folder of `sys.path`, or as an editable install.
    """

    names: tuple[str, ...]
    path: Path
    root: Path
    library: bool = False

    @property
    def name(self) -> str:
        """The dotted name."""
        return ".".join(self.names)

    @property
    def package(self) -> tuple[str, ...]:
        """The parts of the name of its package, for relative imports."""
        return self.names if self.path.name == INIT else self.names[:-1]


class ModuleSearch:
    """Finds the user's modules in folders.

    Parameters
    ----------
    roots : iterable of Path
        Folders to search, the first first: those of the modules and packages of a workflow, and that of its file.

    Attributes
    ----------
    shadowing : dict
        Name of an installed module → file of the user that Python imports instead of it on this machine.
    zipped : dict
        Name of a module → archive that contains it.
    """

    def __init__(self, roots: Iterable[Path] = ()) -> None:
        self._roots = list(dict.fromkeys(roots))
        self._listings: dict[Path, dict[str, bool]] = {}
        self.shadowing: dict[str, Path] = {}
        self.zipped: dict[str, str] = {}
        self._checked: set[str] = set()
        self._installed: dict[str, bool] = {}
        self._libraries_of: dict[str, list[Path]] = {}

    def add_root(self, folder: Path) -> None:
        """Search one more folder, after the others."""
        if folder not in self._roots:
            self._roots.append(folder)
            self._installed.clear()

    def is_installed(self, name: str) -> bool:
        """Return whether a top-level module is not the user's: it belongs to Python or to an installed package."""
        if name not in self._installed:
            self._installed[name] = is_installed(name, self._roots)
        return self._installed[name]

    def find(self, names: Sequence[str], near: Path) -> list[ModuleFile]:
        """Return the files that an import runs: the packages and the module; none for installed modules.

        Parameters
        ----------
        names : sequence of str
            The parts of the dotted name.
        near : Path
            Folder to search first.
        """
        top = names[0]
        if top not in self._checked:
            self._check(top)
        if self.is_installed(top):
            return []
        for folders, library in (([near, *self._roots], False), (self._libraries(top), True)):
            found = self._in([(folder, folder) for folder in dict.fromkeys(folders)], names, library=library)
            if found:
                return found
        return []

    def module_at(self, path: Path) -> ModuleFile:
        """Return the description of a file by its place: in a folder with ``__init__.py``, it belongs to a package."""
        folder, names = path.parent, [path.name.partition(".")[0]]
        while INIT in self.listing(folder) and folder.name.isidentifier() and folder != folder.parent:
            names.insert(0, folder.name)
            folder = folder.parent
        if names[-1] == "__init__":
            names.pop()
        if len(names) > 1 and is_installed(names[0], [folder]):  # not a package, whatever the folder contains
            return ModuleFile((path.stem,), path, path.parent)
        return ModuleFile(tuple(names), path, folder)

    def listing(self, folder: Path) -> dict[str, bool]:
        """Return the names in a folder, and whether each is a folder. Names are compared with their case."""
        if folder not in self._listings:
            try:
                with os.scandir(folder) as entries:
                    self._listings[folder] = {entry.name: entry.is_dir() for entry in entries}
            except OSError:
                self._listings[folder] = {}
        return self._listings[folder]

    def _check(self, top: str) -> None:
        self._checked.add(top)
        mine = comes_first(top) if self.is_installed(top) else None
        if mine is not None:
            self.shadowing[top] = mine
        archive = archive_of(top)
        if archive:
            self.zipped[top] = archive

    def _libraries(self, top: str) -> list[Path]:
        """Return the folders of `sys.path` and of editable installs in which Python searches for a top-level module."""
        if top not in self._libraries_of:
            place = None if top in plugin_packages() else editable(top)
            folders = [] if top in plugin_packages() else [*user_folders()]
            self._libraries_of[top] = [*folders, *([place.parent] if place else [])]
        return self._libraries_of[top]

    def _in(self, places: list[tuple[Path, Path]], names: Sequence[str], *, library: bool) -> list[ModuleFile]:
        """Return the files of a dotted name. `places` are folders to search, each with its root."""
        found: list[ModuleFile] = []
        for stop in range(1, len(names) + 1):
            name = names[stop - 1]
            portions: list[tuple[Path, Path]] = []  # of a package without `__init__.py`
            for folder, root in places:
                file = self._file(folder, name)
                if file is not None:
                    found.append(ModuleFile(tuple(names[:stop]), file, root, library))
                    if file.name != INIT:
                        return found
                    places = [(file.parent, root)]
                    break
                if self.listing(folder).get(name):
                    portions.append((folder / name, root))
            else:
                if not portions:
                    return found
                places = portions
        return found

    def _file(self, folder: Path, name: str) -> Path | None:
        names = self.listing(folder)
        if names.get(name) and self.listing(folder / name).get(INIT) is False:
            return folder / name / INIT
        candidates = (f"{name}{suffix}" for suffix in (*EXTENSION_SUFFIXES, ".py"))
        return next((folder / item for item in candidates if names.get(item) is False), None)
