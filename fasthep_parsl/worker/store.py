"""Pieces of streams that cross pools: one ``.npz`` each, awkward's buffers of every column plus its form.

Uncompressed, so that reading is a copy.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np

from fasthep_parsl.atomic import atomic
from fasthep_parsl.interfaces import Ref
from fasthep_parsl.ops.stream import Events
from fasthep_parsl.worker.partials import StoreError


def save_events(path: Path, events: Events, dataset: int, partitions: Iterable[tuple[int, int]]) -> Ref:
    """Write a piece of a stream and return the reference to it."""
    buffers: dict[str, Any] = {}
    forms: dict[str, str] = {}
    for number, name in enumerate(events):
        form, length, container = ak.to_buffers(
            ak.to_packed(ak.Array(events[name])), buffer_key="{form_key}-{attribute}"
        )
        forms[name] = json.dumps({"form": form.to_dict(), "length": length, "number": number})
        buffers |= {f"{number}/{key}": value for key, value in container.items()}
    buffers["forms"] = np.frombuffer(json.dumps(forms).encode(), dtype=np.uint8)
    buffers["length"] = np.asarray([len(events)])
    with atomic(path) as draft:
        np.savez(draft, **buffers)
    checksum, size = _checksum(path)
    return Ref(str(path), checksum, size, len(events), dataset, tuple(partitions))


def load_events(ref: Ref, columns: Sequence[str]) -> Events:
    """Read `columns` of a stored piece of a stream.

    Raises
    ------
    StoreError
        The file is missing, damaged, or lacks a column.
    """
    path = Path(ref.path)
    try:
        checksum, _ = _checksum(path)
        if checksum != ref.checksum:
            raise StoreError(f"stored events were changed: {path} (checksum {checksum}, expected {ref.checksum})")
        with np.load(path) as arrays:
            forms = json.loads(arrays["forms"].tobytes())
            found = {name: _column(arrays, json.loads(forms[name])) for name in columns}
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise StoreError(f"stored events cannot be read: {path}: {error!r}") from error
    return Events(found, ref.events)


def _column(arrays: Any, entry: dict[str, Any]) -> Any:
    form = ak.forms.from_dict(entry["form"])
    prefix = f"{entry['number']}/"
    container = {name[len(prefix) :]: arrays[name] for name in arrays.files if name.startswith(prefix)}
    array = ak.from_buffers(form, entry["length"], container, buffer_key="{form_key}-{attribute}")
    return array.layout.data if isinstance(array.layout, ak.contents.NumpyArray) else array


def _checksum(path: Path) -> tuple[str, int]:
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return f"blake2b:{digest.hexdigest()}", path.stat().st_size
