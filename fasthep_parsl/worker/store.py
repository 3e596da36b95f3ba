"""What tasks hand on through files: partial products, and pieces of streams that cross pools.

A piece of a stream is one ``.npz``: awkward's buffers of each column plus its form, uncompressed, so that reading is a
copy. Every file is written under another name and renamed, so that a killed worker leaves none that looks whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np

from fasthep_parsl.errors import FastHepError
from fasthep_parsl.interfaces import Ref
from fasthep_parsl.ops.stream import Events


class StoreError(FastHepError):
    """A stored file is missing or is not what was written."""


def save_products(path: Path, products: dict[str, Any]) -> str:
    """Write products (stage id → product) and return the path."""
    with _replacing(path) as file:
        pickle.dump(products, file, protocol=5)
    return str(path)


def load_products(path: str | Path) -> dict[str, Any]:
    """Read what `save_products` wrote.

    Raises
    ------
    StoreError
        The file is missing or damaged.
    """
    try:
        with Path(path).open("rb") as file:
            return pickle.load(file)  # type: ignore[no-any-return]  # noqa: S301  (written by this run)
    except (OSError, EOFError, pickle.UnpicklingError) as error:
        raise StoreError(f"products of this run cannot be read: {path}: {error}") from error


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
    with _replacing(path) as file:
        np.savez(file, **buffers)
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


class _replacing:  # noqa: N801  (used like a function)
    """Open a temporary file beside `path`; rename it on success, remove it on failure."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.temporary = path.with_name(f".{path.name}.{os.getpid()}")

    def __enter__(self) -> Any:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.file = self.temporary.open("wb")
        return self.file

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.file.close()
        if kind is None:
            self.temporary.replace(self.path)
        else:
            self.temporary.unlink(missing_ok=True)
