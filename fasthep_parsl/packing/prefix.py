"""What of a Python installation goes into an archive: a venv is merged with its base installation into one prefix."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from fasthep_parsl.errors import SiteError
from fasthep_parsl.packing.installation import Installation
from fasthep_parsl.packing.manifest import FOLDER
from fasthep_parsl.packing.members import Member, Skip, file_member, walk

_NO_ENVIRONMENT = {FOLDER, "pkgs", "envs", "conda-bld", "pyvenv.cfg", ".condarc"}
"""At the top of an installation: what is not part of it."""
_STDLIB_LEFT_OUT = ("test", "idlelib", "turtledemo", "tkinter", "lib2to3/tests", "site-packages", "dist-packages")
_STDLIB_FILES_LEFT_OUT = re.compile(
    r"lib-dynload/_tkinter\..*|config-.*/(.*\.a|python\.o)|EXTERNALLY-MANAGED", re.DOTALL
)
_BASE_PACKAGES = "base-packages"
"""Folder beside `site-packages` with the packages of the base, if the venv uses them."""


def collect(installation: Installation) -> list[Member]:
    """Return the members of an archive of an installation, in the order of their names.

    Raises
    ------
    SiteError
        Something cannot be packed.
    """
    found: dict[str, Member] = {}
    if installation.is_venv or installation.is_system:
        parts: Iterable[Member] = (*_base(installation), *_own(installation))
    else:
        parts = walk(installation.prefix, _left_out)
    for member in parts:
        found[member.name] = member
    if not any(name in found for name in ("bin/python", "bin/python3")):
        raise SiteError(f"packing: `{installation.prefix}` has no `bin/python`")
    return [found[name] for name in sorted(found)]


def _base(installation: Installation) -> Iterator[Member]:
    """Yield the program, the standard library and the headers of the base installation."""
    program = f"python{installation.short}"
    yield file_member(f"bin/{program}", str(installation.program))
    yield Member("bin/python3", "link", target=program)
    yield Member("bin/python", "link", target=program)
    yield from _below(installation.stdlib, f"lib/{program}", _no_stdlib)
    if installation.include.is_dir():
        yield from _below(installation.include, f"include/{installation.include.name}", _left_out)
    if installation.debian:  # its `site` does not search `site-packages`
        yield Member("lib/python3/dist-packages", "link", target=f"../{program}/site-packages")


def _own(installation: Installation) -> Iterator[Member]:
    """Yield what the installation has beside its base.

    Folders with packages stay apart: files of two versions of a package are never mixed.
    """
    packages = installation.site_packages
    folders = [Path(folder) for folder in installation.search if folder.endswith(("site-packages", "dist-packages"))]
    if installation.is_system:
        folders = [folder for folder in folders if folder.is_dir()]
        for folder in folders[:1]:
            yield from _below(folder, str(packages), _left_out)
        others = folders[1:]
    else:
        others = [folder for folder in folders if not folder.is_relative_to(installation.prefix)]
    for number, folder in enumerate(others):
        place = packages.parent / f"{_BASE_PACKAGES}-{number}"
        yield from _below(folder, str(place), _left_out)
        line = f"import os, site; site.addsitedir(os.path.join(os.path.dirname(sitedir), '{place.name}'))\n"
        yield Member(str(packages / f"{place.name}.pth"), content=line.encode())
    if not installation.is_system:
        yield from walk(installation.prefix, _not_of_venv)


def _below(folder: Path, place: str, skip: Skip) -> Iterator[Member]:
    """Yield the members of a folder under another name."""
    for member in walk(folder, skip):
        yield replace(member, name=f"{place}/{member.name}")


def _left_out(name: str) -> bool:
    """Leave out what is no part of an environment: caches, and compiled files of numba."""
    if name in _NO_ENVIRONMENT or name.endswith("/__pycache__/.gitignore"):
        return True
    folder, _, last = name.rpartition("/")
    return folder.endswith("__pycache__") and not last.endswith(".pyc")


def _not_of_venv(name: str) -> bool:
    """Leave out the Python of a venv too: the base has it."""
    if name == "lib64" or (name.startswith("bin/python") and "-" not in name and not _is_script(name)):
        return True
    return _left_out(name)


def _is_script(name: str) -> bool:
    return PurePosixPath(name).name.removeprefix("python").strip("0123456789.") != ""


def _no_stdlib(name: str) -> bool:
    return name in _STDLIB_LEFT_OUT or bool(_STDLIB_FILES_LEFT_OUT.fullmatch(name)) or _left_out(name)
