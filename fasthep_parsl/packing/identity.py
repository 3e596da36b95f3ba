"""The key of an installation: whether it is the same as when it was packed, found without reading its files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from fasthep_parsl.packing.installation import Installation
from fasthep_parsl.packing.manifest import is_derived
from fasthep_parsl.packing.members import Member
from fasthep_parsl.packing.sources import source_key
from fasthep_parsl.packing.wheels import SourcePackage

_LOADER_CACHE = Path("/etc/ld.so.cache")
"""What the system's libraries are; it changes when one is installed."""


def installation_key(
    installation: Installation, members: Iterable[Member], packages: Iterable[SourcePackage], *options: str
) -> str:
    """Return a hash of what an archive is made of.

    It changes with the names, sizes, times and inodes of all files, with the sources of editable packages, with the
    libraries of the system, and with the code of this package. Compiled Python code does not count: it appears when an
    installation is used.

    Parameters
    ----------
    installation : Installation
        The installation.
    members : iterable of Member
        Its files.
    packages : iterable of SourcePackage
        Its distributions that were not installed from wheels.
    options : str
        Whatever else determines the archive.
    """
    digest = hashlib.sha256()

    def add(*values: object) -> None:
        digest.update(("\0".join(map(str, values)) + "\n").encode("utf-8", "surrogateescape"))

    add(_code(), installation.prefix, installation.version, *options, os.environ.get("LD_LIBRARY_PATH", ""))
    if _LOADER_CACHE.exists():
        info = _LOADER_CACHE.stat()
        add(info.st_size, info.st_mtime_ns)
    for member in members:
        if not is_derived(member.name):
            add(member.name, member.source, member.target, *member.identity, member.executable)
    for package in packages:
        add(package.name, package.version, "" if package.source is None else source_key(package.source))
    return digest.hexdigest()


@cache
def _code() -> str:
    """Return a hash of the code that packs."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
