"""The store of archives in the user's cache: an environment that has not changed is not packed again.

::

    <cache>/environments/<key>/environment.tar      the archive
    <cache>/environments/<key>/manifest.json        what it contains; written last: without it, nothing counts
    <cache>/environments/<key>.lock                 locked while the folder is used or written

The key says what an archive is made of: for an installation, the sizes and times of all its files. The least recently used
archives are removed if there are more than `KEPT`, or if they have more than `KEPT_BYTES`.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fasthep_parsl.atomic import atomic, write_text
from fasthep_parsl.cache_folder import cache_folder
from fasthep_parsl.errors import SiteError
from fasthep_parsl.packing.manifest import Manifest
from fasthep_parsl.packing.writer import Report

KEPT = 10
KEPT_BYTES = 20_000_000_000
STORE, ARCHIVE_NAME, ENTRY_NAME = "environments", "environment.tar", "manifest.json"
"""Names of the store in the cache, and of the files of an archive."""
PACKING = "packing the environment"
"""What is reported before an environment is packed that is not in the store."""


class StoredArchive(BaseModel):
    """An archive of the store."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    manifest: Manifest = Field(description="what it contains")
    sha256: str = Field(description="checksum of the file")
    size: int = Field(description="size of the file [bytes]")
    mtime_ns: int = Field(description="modification time of the file [ns]")


def provide(
    key: str, target: Path, pack: Callable[[Path], Manifest], report: Report, cache: Path | None = None
) -> StoredArchive:
    """Put an archive at `target`: from the store, else it is packed. Several processes pack an archive once.

    The archive is a hard link into the store if that is on the same disk, else a copy.

    Parameters
    ----------
    key : str
        Hash of everything that determines the archive.
    target : Path
        Where it is needed.
    pack : callable
        Writes the archive to the given path and returns its manifest.
    report : callable
        Called with what is done; see `SetupFolder.report`.
    cache : Path, optional
        Folder of the cache; that of the user if absent.

    Raises
    ------
    SiteError
        It cannot be packed, or the disk is full.
    """
    folder = (cache or cache_folder()) / STORE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / f"{key}.lock", report):
            found = _found(folder / key)
            if found is None:
                report(PACKING, 0, 0)
                found = _packed(folder / key, pack)
            _place(folder / key / ARCHIVE_NAME, target)
            os.utime(folder / key / ENTRY_NAME)
        _remove_old(folder, key)
    except OSError as error:
        raise SiteError(f"packing: `{error.filename or folder}`: {error.strerror or error}") from None
    return found


def _found(place: Path) -> StoredArchive | None:
    """Return the archive if it is complete."""
    try:
        entry = StoredArchive.model_validate_json((place / ENTRY_NAME).read_bytes())
        info = (place / ARCHIVE_NAME).stat()
    except (OSError, ValidationError):
        return None
    return entry if (info.st_size, info.st_mtime_ns) == (entry.size, entry.mtime_ns) else None


def _packed(place: Path, pack: Callable[[Path], Manifest]) -> StoredArchive:
    shutil.rmtree(place, ignore_errors=True)  # what a killed process has left
    place.mkdir()
    try:
        manifest = pack(place / ARCHIVE_NAME)
        with (place / ARCHIVE_NAME).open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            info = os.fstat(file.fileno())
        entry = StoredArchive(manifest=manifest, sha256=sha256, size=info.st_size, mtime_ns=info.st_mtime_ns)
        write_text(place / ENTRY_NAME, entry.model_dump_json(indent=2))
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    return entry


def _place(archive: Path, target: Path) -> None:
    with suppress(FileNotFoundError):
        if target.samefile(archive):
            return
    with atomic(target) as draft:
        try:
            os.link(archive, draft)
        except OSError:  # another disk, or no hard links
            shutil.copyfile(archive, draft)


@contextmanager
def _locked(path: Path, report: Report) -> Iterator[None]:
    """Lock an archive. The lock ends with the process. Without locks on this file system, several processes may pack."""
    with path.open("a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("waiting for another run that packs the same environment", 0, 0)
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:
            yield
            return
        yield


def _remove_old(folder: Path, key: str) -> None:
    """Remove the least recently used archives beyond the limits, but none that is in use."""
    entries = []
    for entry in folder.glob(f"*/{ENTRY_NAME}"):
        with suppress(OSError):
            size = (entry.parent / ARCHIVE_NAME).stat().st_size
            entries.append((entry.stat().st_mtime_ns, entry.parent, size))
    count, size = 0, 0
    for _, place, own in sorted(entries, reverse=True):
        count, size = count + 1, size + own
        if place.name != key and (count > KEPT or size > KEPT_BYTES):
            _remove(place)


def _remove(place: Path) -> None:
    lock = place.with_name(f"{place.name}.lock")
    with suppress(OSError), lock.open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        (place / ENTRY_NAME).unlink(missing_ok=True)  # first: what remains does not count
        shutil.rmtree(place, ignore_errors=True)
