"""Archives of environments: pack an installation into one file that works in any folder, read and verify it."""

from __future__ import annotations

import hashlib
import tarfile
import tempfile
import zlib
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from fasthep_parsl.errors import SiteError
from fasthep_parsl.packing.compression import Format, open_stream
from fasthep_parsl.packing.identity import installation_key
from fasthep_parsl.packing.installation import Installation, describe
from fasthep_parsl.packing.manifest import MANIFEST, RELOCATE, RELOCATIONS, Manifest, is_derived
from fasthep_parsl.packing.members import Member
from fasthep_parsl.packing.prefix import collect
from fasthep_parsl.packing.store import StoredArchive, provide
from fasthep_parsl.packing.wheels import replace_editable, source_packages
from fasthep_parsl.packing.writer import ArchiveWriter, Report, hash_line

DAMAGED = (OSError, EOFError, zlib.error, tarfile.TarError)
"""What reading a damaged archive raises."""


def _silent(text: str, done: int, total: int) -> None:
    """Report nothing."""


def pack_prefix(
    prefix: Path,
    target: Path,
    *,
    name: str = "",
    form: Format = "zst",
    report: Report = _silent,
) -> Manifest:
    """Pack an installation into an archive.

    Parameters
    ----------
    prefix : Path
        Folder of a venv, of an environment of conda or pixi, or of another Python.
    target : Path
        The archive; it is complete or absent.
    name : str
        Name of the environment, for people; the name of the folder if empty.
    form : {"zst", "gz"}
        Compression.
    report : callable
        Called with a text, and how many of how many bytes are packed.

    Returns
    -------
    Manifest
        What the archive contains.

    Raises
    ------
    SiteError
        Something cannot be packed, or changed while it was packed.
    """
    return pack_installation(describe(prefix), target, name=name or prefix.name, form=form, report=report)


def pack_installation(
    installation: Installation,
    target: Path,
    *,
    name: str = "",
    form: Format = "zst",
    report: Report = _silent,
) -> Manifest:
    """Pack an installation whose folders are known; see `pack_prefix`."""
    packages = source_packages(installation)
    with tempfile.TemporaryDirectory(prefix="fasthep-parsl-") as work:
        members = replace_editable(installation, collect(installation), packages, Path(work), report)
        writer = ArchiveWriter(installation, members, (package.name for package in packages), report)
        return writer.write(target, "packed-prefix", name or installation.prefix.name, form)


def pack_stored(
    prefix: Path, target: Path, *, form: Format = "zst", report: Report = _silent, cache: Path | None = None
) -> StoredArchive:
    """Put an archive of an installation at `target`; if nothing has changed since it was packed, from the store.

    Parameters and errors are those of `pack_prefix`, and:

    Parameters
    ----------
    cache : Path, optional
        Folder of the cache; that of the user if absent.
    """
    report("looking at the environment", 0, 0)
    installation = describe(prefix)
    key = installation_key(installation, collect(installation), source_packages(installation), form)
    return provide(
        key, target, lambda path: pack_installation(installation, path, form=form, report=report), report, cache
    )


def read_manifest(path: Path) -> Manifest:
    """Return the manifest of an archive. Only its start is read.

    Raises
    ------
    SiteError
        It is no archive of an environment.
    """
    with _opened(path) as archive:
        return _manifest_of(archive, path)


def _opened(path: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(fileobj=open_stream(path), mode="r|", format=tarfile.GNU_FORMAT)
    except DAMAGED as error:
        raise _no_archive(path, error) from None


def _manifest_of(archive: tarfile.TarFile, path: Path) -> Manifest:
    try:
        first = archive.next()
        content = archive.extractfile(first) if first is not None and first.name == MANIFEST else None
        if content is None:
            raise SiteError(f"`{path}` is no packed environment: its first file is not `{MANIFEST}`")
        return Manifest.model_validate_json(content.read())
    except (*DAMAGED, ValidationError) as error:
        raise _no_archive(path, error) from None


def _no_archive(path: Path, error: Exception) -> SiteError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error).splitlines()[0]
    return SiteError(f"`{path}` cannot be read as a packed environment: {reason}")


def verify_archive(path: Path) -> Manifest:
    """Read all of an archive, compare it with the environment hash, and return its manifest.

    Raises
    ------
    SiteError
        It is damaged.
    """
    digest = hashlib.sha256()
    count = 0
    with _opened(path) as archive:
        manifest = _manifest_of(archive, path)
        try:
            for info in archive:
                if info.name in {MANIFEST, RELOCATE, RELOCATIONS}:
                    continue
                count += info.isreg()
                if not is_derived(info.name):
                    digest.update(hash_line(*_member_of(archive, info)))
        except (*DAMAGED, UnicodeError) as error:
            raise _no_archive(path, error) from None
    if (digest.hexdigest(), count) != (manifest.hash, manifest.files):
        raise SiteError(
            f"`{path}` is damaged: its content does not have the environment hash of its manifest; pack it again"
        )
    return manifest


def _member_of(archive: tarfile.TarFile, info: tarfile.TarInfo) -> tuple[Member, str]:
    kind: Literal["file", "link", "folder"] = "link" if info.issym() else "folder" if info.isdir() else "file"
    executable = kind == "file" and bool(info.mode & 0o100)
    content = archive.extractfile(info) if kind == "file" else None
    digest = hashlib.sha256(content.read()).hexdigest() if content is not None else ""
    return Member(info.name, kind, target=info.linkname if kind == "link" else "", executable=executable), digest
