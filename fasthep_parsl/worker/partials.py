"""Files of partial products, with a checksum. Needs no array library, since the driver reads them, too."""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fasthep_parsl.atomic import atomic
from fasthep_parsl.errors import FastHepError
from fasthep_parsl.tasks import Span
from fasthep_parsl.worker.sums import Part

_MAGIC = b"fasthep-parsl products 2\n"
_DIGEST = 16


class StoreError(FastHepError):
    """A file of partial products or of a stream is missing or damaged."""


def save_parts(path: Path, parts: Sequence[Part], whole: dict[str, Any] | None = None) -> int:
    """Write partial products atomically, flush them to the disk, and return the size of the file.

    Parameters
    ----------
    path : Path
        The file.
    parts : sequence of Part
        Parts in the order of their events.
    whole : dict, optional
        Stage id → merged product of all parts. Not needed for a single part.

    Raises
    ------
    OSError
        The file cannot be written. It does not exist then.
    """
    content = [(part.spans, dict(part.products)) for part in parts]
    payload = pickle.dumps((content, whole), protocol=5)
    with atomic(path) as draft, draft.open("wb") as file:
        file.write(_MAGIC + hashlib.blake2b(payload, digest_size=_DIGEST).digest())
        file.write(payload)
        file.flush()
        os.fsync(file.fileno())  # a full disk or quota must be noticed before the task counts as done
    return path.stat().st_size


def load_parts(path: str | Path) -> list[Part]:
    """Return the parts that `save_parts` has written.

    Raises
    ------
    StoreError
        The file is missing or damaged.
    """
    return [Part(spans, products) for spans, products in _load(path)[0]]


def load_products(path: str | Path) -> dict[str, Any]:
    """Return the merged products of all parts (stage id → product).

    Raises
    ------
    StoreError
        The file is missing or damaged, or contains parts that are not merged.
    """
    parts, whole = _load(path)
    if whole is None and len(parts) > 1:
        raise StoreError(f"products of this run are not merged yet: {path}")
    return whole if whole is not None else dict(parts[0][1]) if parts else {}


def is_intact(path: str | Path, size: int) -> bool:
    """Return whether a file has this size and a correct checksum."""
    try:
        if Path(path).stat().st_size != size:
            return False
        _checked(path)
    except (OSError, StoreError):
        return False
    return True


def _load(path: str | Path) -> tuple[list[tuple[tuple[Span, ...], dict[str, Any]]], dict[str, Any] | None]:
    try:
        return pickle.loads(_checked(path))  # type: ignore[no-any-return]  # noqa: S301  (written by this run)
    except (OSError, EOFError, pickle.UnpicklingError, AttributeError, ImportError) as error:
        raise StoreError(f"products of this run cannot be read: {path}: {error}") from error


def _checked(path: str | Path) -> memoryview:
    """Return the content of a file after its checksum, if the checksum is correct."""
    content = memoryview(Path(path).read_bytes())
    begin = len(_MAGIC) + _DIGEST
    digest = hashlib.blake2b(content[begin:], digest_size=_DIGEST).digest()
    if content[: len(_MAGIC)] != _MAGIC or content[len(_MAGIC) : begin] != digest:
        raise StoreError(f"products of this run cannot be read: {path}: the file is damaged")
    return content[begin:]
