"""Which modules belong to the software of an environment, and which to the user's analysis.

Software is the standard library and everything in folders for packages. Workers get it from their environment. All other
modules that Python can import here, for example from a folder of ``PYTHONPATH`` or from an editable install, are analysis
code, which travels.
"""

from __future__ import annotations

import site
import sys
import sysconfig
from collections.abc import Collection
from contextlib import suppress
from functools import cache
from importlib.machinery import BuiltinImporter, FrozenImporter, ModuleSpec, PathFinder
from importlib.metadata import entry_points
from pathlib import Path

from fasthep_parsl import registry
from fasthep_parsl.analysis_code.finder import FINDER

PACKAGE_FOLDERS = frozenset({"site-packages", "dist-packages"})
SYSTEM_FOLDERS = ("/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/share", "/opt", "/cvmfs", "/nix")
"""Folders of software that is installed for all users."""
OURS = "fasthep_parsl"


def is_installed(name: str, own: Collection[Path] = ()) -> bool:
    """Return whether Python or an installed package has a module with this name. Modules in the folders `own` do not count."""
    if name in sys.stdlib_module_names or name == OURS:
        return True
    place = _in_software(name, _search_path())
    return place is not None and place.parent not in own


def user_folders() -> tuple[Path, ...]:
    """Return the folders in which Python searches for modules here, without those of software."""
    return tuple(Path(entry) for entry in _search_path() if not _is_software(entry))


def comes_first(name: str) -> Path | None:
    """Return the file of the user that Python would import here instead of installed software of the same name."""
    if name == OURS or BuiltinImporter.find_spec(name) or FrozenImporter.find_spec(name):
        return None
    place = _place(PathFinder.find_spec(name, list(_search_path())))
    if place is None:
        return None
    return None if _is_software(str(place.parent)) else place


def archive_of(name: str) -> str:
    """Return the archive that Python imports a module from, empty if it is not in one."""
    if name in sys.stdlib_module_names:
        return ""
    archives = [entry for entry in _search_path() if Path(entry).is_file()]
    spec = PathFinder.find_spec(name, archives) if archives else None
    return str(getattr(spec.loader, "archive", "")) if spec is not None else ""


def editable(name: str) -> Path | None:
    """Return the package folder or module file of an editable install that is found by an import hook; None if there is none."""
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        if find is None or finder in (FINDER, PathFinder, BuiltinImporter, FrozenImporter):
            continue
        place = None
        with suppress(Exception):  # of hooks of other packages
            place = _place(find(name, None, None))
        if place is not None and not _is_software(str(place.parent)):
            return place
    return None


@cache
def plugin_packages() -> frozenset[str]:
    """Return the top-level modules with plug-ins of this package. They are software: workers need their entry points."""
    points = (point for group in registry.GROUPS for point in entry_points(group=f"{OURS}.{group}"))
    return frozenset(point.module.partition(".")[0] for point in points)


def _search_path() -> tuple[str, ...]:
    """Return `sys.path` without folders that were added for copies of analysis code."""
    added = FINDER.appended
    return tuple(str(Path(entry or ".").resolve()) for entry in sys.path if entry not in added)


@cache
def _in_software(name: str, path: tuple[str, ...]) -> Path | None:
    """Return the folder of an installed package or the file of a module; None if there is none, or no ``__init__.py``."""
    installed = [sysconfig.get_path(key) for key in ("purelib", "platlib")]
    return _place(PathFinder.find_spec(name, [*installed, *(entry for entry in path if _is_software(entry))]))


@cache
def _is_software(entry: str) -> bool:
    """Return whether a folder of `sys.path` contains software: packages, libraries, or what is installed for all users."""
    folder = Path(entry)
    if PACKAGE_FOLDERS & set(folder.parts) or folder.is_file():
        return True
    fixed = [*(sysconfig.get_path(key) for key in ("stdlib", "platstdlib")), site.getusersitepackages()]
    if any(folder.is_relative_to(Path(place).resolve()) for place in (*fixed, *SYSTEM_FOLDERS)):
        return True
    return any(next(folder.glob(pattern), None) for pattern in ("*.dist-info", "lib*.so"))


def _place(spec: ModuleSpec | None) -> Path | None:
    """Return the folder of a package or the file of a module."""
    if spec is None or not spec.has_location or not spec.origin:
        return None
    origin = Path(spec.origin)
    return origin.parent if spec.submodule_search_locations else origin
