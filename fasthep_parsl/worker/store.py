"""Chunks of streams between pools: a ``.npz`` file each, with form and buffers of every column.

They are uncompressed, so that reading is only a copy.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Container, Iterable, Sequence
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np

from fasthep_parsl.atomic import atomic
from fasthep_parsl.ops.stream import Events
from fasthep_parsl.tasks import Ref
from fasthep_parsl.worker.partials import StoreError


def save_events(path: Path, events: Events, dataset: int, partitions: Iterable[tuple[int, int]]) -> Ref:
    """Write a chunk of a stream and return its reference.

    Parameters
    ----------
    path : Path
        The file.
    events : Events
        Events, ordered by partition.
    dataset : int
        Index of the dataset in the plan.
    partitions : iterable of (first, last)
        Partitions of the events, ascending.
    """
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
    spans = tuple(partitions)
    return Ref(str(path), checksum, size, len(events), dataset, spans, _counts(events, spans))


def load_events(ref: Ref, columns: Sequence[str], optional: Container[str] = ()) -> Events:
    """Return `columns` of a stored chunk of a stream.

    Parameters
    ----------
    ref : Ref
        The chunk.
    columns : sequence of str
        The columns.
    optional : container of str
        Those that may be absent: a stage that does not apply to a dataset writes none.

    Raises
    ------
    StoreError
        The file is missing, damaged, or lacks a column.
    """
    path = Path(ref.path)
    try:
        checksum, _ = _checksum(path)
        if checksum != ref.checksum:
            raise StoreError(f"stored events are damaged: {path} (checksum {checksum}, expected {ref.checksum})")
        with np.load(path) as arrays:
            forms = json.loads(arrays["forms"].tobytes())
            mine = slice(ref.skip, ref.skip + ref.events)
            wanted = [name for name in columns if name in forms or name not in optional]
            found = {name: _column(arrays, json.loads(forms[name]))[mine] for name in wanted}
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise StoreError(f"stored events cannot be read: {path}: {error!r}") from error
    numbers = [number for first, last in ref.partitions for number in range(first, last)]
    owners = np.repeat(numbers, ref.counts) if ref.counts else None
    return Events(found, ref.events, owners)


def _counts(events: Events, spans: tuple[tuple[int, int], ...]) -> tuple[int, ...]:
    """Return the number of events of each partition; empty if unknown, or if an op has changed the order."""
    if events.owners is None or not spans:
        return ()
    numbers = [number for first, last in spans for number in range(first, last)]
    lowest = min(numbers)
    found = np.bincount(events.owners - lowest)
    counts = tuple(int(found[n - lowest]) if n - lowest < len(found) else 0 for n in numbers)
    return counts if np.array_equal(events.owners, np.repeat(numbers, counts)) else ()


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
