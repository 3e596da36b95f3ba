"""The archives in the store of the user's cache: list them, and find one by its environment hash."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from fasthep_parsl.cache_folder import cache_folder
from fasthep_parsl.packing.store import ARCHIVE_NAME, ENTRY_NAME, STORE, StoredArchive

SHORT = 12
"""Digits of an environment hash that are shown."""
_HASH = re.compile(r"[0-9a-f]{4,64}")


@dataclass(frozen=True, slots=True)
class KeptArchive:
    """An archive in the store.

    Attributes
    ----------
    path : Path
        The file.
    archive : StoredArchive
        What it contains.
    used : float
        When it was last used, seconds since 1970.
    """

    path: Path
    archive: StoredArchive
    used: float


def kept_archives(cache: Path | None = None) -> list[KeptArchive]:
    """Return the complete archives of the store, the last used first.

    Parameters
    ----------
    cache : Path, optional
        Folder of the cache; that of the user if absent.
    """
    found = []
    for entry in ((cache or cache_folder()) / STORE).glob(f"*/{ENTRY_NAME}"):
        with suppress(OSError, ValidationError):
            archive = StoredArchive.model_validate_json(entry.read_bytes())
            path = entry.with_name(ARCHIVE_NAME)
            info = path.stat()
            if (info.st_size, info.st_mtime_ns) == (archive.size, archive.mtime_ns):
                found.append(KeptArchive(path, archive, entry.stat().st_mtime))
    return sorted(found, key=lambda kept: -kept.used)


def is_hash(text: str) -> bool:
    """Return whether a text can be an environment hash or its beginning."""
    return bool(_HASH.fullmatch(text))


def archives_of_hash(text: str, cache: Path | None = None) -> list[KeptArchive]:
    """Return the archives whose environment hash begins with `text`."""
    return [kept for kept in kept_archives(cache) if kept.archive.manifest.hash.startswith(text)]
