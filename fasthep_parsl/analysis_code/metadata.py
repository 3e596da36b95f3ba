"""Metadata of installed packages: the version of what an import of a module takes, without importing it.

Python searches modules and metadata separately. A folder on PYTHONPATH can have metadata of one version while the module
comes from another folder, so the metadata next to the module counts.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution, packages_distributions
from importlib.util import find_spec
from pathlib import Path

_RELEASE = re.compile(r"(\d+(?:\.\d+)*)(.*)")


def normalised_name(name: str) -> str:
    """Return the name of a package as PyPI compares it: ``PyYAML`` and ``pyyaml`` are the same."""
    return re.sub(r"[-_.]+", "-", name).lower()


def normalised_version(version: str) -> str:
    """Return a version as PyPI compares it: ``2026.05.18`` and ``2026.5.18`` are the same, ``2.1`` and ``2.1+cu12`` are not."""
    public, _, local = version.strip().lower().partition("+")
    release = _RELEASE.fullmatch(public)
    if release is None:
        return version
    numbers = [str(int(number)) for number in release[1].split(".")]
    while len(numbers) > 1 and numbers[-1] == "0":
        numbers.pop()
    return ".".join(numbers) + release[2] + (f"+{local}" if local else "")


@cache
def module_places(name: str) -> tuple[Path, ...]:
    """Return the folders of a top-level package, or the file of a module; empty if there are none."""
    try:
        spec = find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return ()
    if spec is None:
        return ()
    if spec.submodule_search_locations:
        return tuple(Path(place) for place in spec.submodule_search_locations)
    return (Path(spec.origin),) if spec.has_location and spec.origin else ()


def version_of(package: str, module: str) -> str:
    """Return the version of the installed package that an import of a module takes.

    Parameters
    ----------
    package : str
        Name of the package.
    module : str
        Name of one of its top-level modules.

    Returns
    -------
    str
        Empty if there is no such package or module, or if the import takes the module from elsewhere.
    """
    folders = dict.fromkeys(str(place.parent) for place in module_places(module))
    if not folders:
        return ""
    for found in Distribution.discover(name=package, path=list(folders)):
        return found.version
    try:
        elsewhere = distribution(package)
    except PackageNotFoundError:
        return ""
    # an editable installation has its metadata elsewhere; another installation has a copy of the module there
    copies = (Path(str(elsewhere.locate_file(name))) for name in (module, f"{module}.py"))
    return "" if any(copy.exists() for copy in copies) else elsewhere.version


@cache
def owners_of(module: str) -> tuple[str, ...]:
    """Return the installed packages that have a top-level module, if none of them has its name."""
    return tuple(sorted(set(_all_owners().get(module, ()))))


@cache
def _all_owners() -> dict[str, list[str]]:
    return dict(packages_distributions())
