"""Sizes of the packages in an archive: what makes an environment large."""

from __future__ import annotations

import csv
import json
import posixpath
import re
import tarfile
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fasthep_parsl.errors import SiteError
from fasthep_parsl.packing.archive import DAMAGED, read_manifest
from fasthep_parsl.packing.compression import open_stream
from fasthep_parsl.packing.manifest import FOLDER, normalised
from fasthep_parsl.packing.writer import Report

PYTHON, OTHER = "python", "other files"
"""Names for what belongs to no package: the standard library and its programs, and the rest."""
_RECORD = re.compile(r"(?P<folder>.*/)?(?P<name>[^/]+?)-(?P<version>\d[^-/]*)\.dist-info/RECORD")
_CONDA = re.compile(r"conda-meta/[^/]+\.json")
_COMPILED = re.compile(r"(?P<folder>(?:.*/)?)__pycache__/(?P<module>[^/.]+)\.[^/]+\.pyc")
_OF_PYTHON = re.compile(
    r"(bin/(python|pip|pydoc|idle|2to3)[^/]*|include/python.*|lib/(python3\.|libpython)(?!.*packages/).*)"
)


@dataclass(frozen=True, slots=True)
class PackageSize:
    """What one package needs.

    Attributes
    ----------
    name, version : str
        Its normalised name and its version; no version for files that belong to no package.
    size : int
        Size of its files [bytes].
    files : int
        Number of its files.
    """

    name: str
    version: str
    size: int
    files: int


def archive_sizes(path: Path, report: Report) -> list[PackageSize]:
    """Return the packages of an archive, the largest first. All of it is read.

    Parameters
    ----------
    path : Path
        The archive.
    report : callable
        Called with what is done, and how many of how many bytes.

    Raises
    ------
    SiteError
        It is no archive, or is damaged.
    """
    total = read_manifest(path).unpacked
    sizes: dict[str, int] = {}
    owned: dict[str, tuple[str, str]] = {}
    done = 0
    try:
        with tarfile.open(fileobj=open_stream(path), mode="r|", format=tarfile.GNU_FORMAT) as archive:
            for info in archive:
                if not info.isreg() or info.name.startswith(f"{FOLDER}/"):
                    continue
                sizes[info.name] = info.size
                done += info.size
                report("reading the archive", min(done, total - 1), total)
                if _RECORD.fullmatch(info.name) or _CONDA.fullmatch(info.name):
                    content = archive.extractfile(info)
                    owned |= _files_of(info.name, content.read() if content else b"")
    except DAMAGED as error:
        raise SiteError(f"`{path}` is damaged: {error}") from None
    report("reading the archive", total, total)
    return package_sizes(sizes, owned)


def package_sizes(sizes: Mapping[str, int], owned: Mapping[str, tuple[str, str]]) -> list[PackageSize]:
    """Return the size of each package, the largest first.

    Parameters
    ----------
    sizes : mapping
        Name of a file → its size [bytes].
    owned : mapping
        Name of a file → name and version of its package. Compiled code belongs to the package of its source.
    """
    found: dict[tuple[str, str], list[int]] = defaultdict(list)
    for name, size in sizes.items():
        found[_owner(name, owned)].append(size)
    rows = [PackageSize(name, version, sum(parts), len(parts)) for (name, version), parts in found.items()]
    return sorted(rows, key=lambda row: (-row.size, row.name))


def _owner(name: str, owned: Mapping[str, tuple[str, str]]) -> tuple[str, str]:
    if name in owned:
        return owned[name]
    compiled = _COMPILED.fullmatch(name)
    source = f"{compiled['folder']}{compiled['module']}.py" if compiled else ""
    if source in owned:
        return owned[source]
    return (PYTHON, "") if _OF_PYTHON.fullmatch(source or name) else (OTHER, "")


def _files_of(name: str, content: bytes) -> Iterable[tuple[str, tuple[str, str]]]:
    """Yield the files that a record of installed files names, with their package."""
    record = _RECORD.fullmatch(name)
    if record is None:
        return _of_conda(content)
    package = (normalised(record["name"]), record["version"])
    folder = record["folder"] or ""
    rows = csv.reader(content.decode(errors="replace").splitlines())
    return [(posixpath.normpath(folder + row[0]), package) for row in rows if row]


def _of_conda(content: bytes) -> Iterable[tuple[str, tuple[str, str]]]:
    try:
        found = json.loads(content)
        package = (str(found["name"]), str(found["version"]))
        return [(str(file), package) for file in found.get("files", ())]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []
