"""Write columns to Parquet and ROOT files, and check that the format supports them."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from fasthep_parsl.errors import OpError
from fasthep_parsl.ops.arrays import ak, np
from fasthep_parsl.ops.collections.collection import flatten, owner_of
from fasthep_parsl.ops.columns.layouts import drop_masks, from_column, to_awkward
from fasthep_parsl.ops.columns.value_types import same_offsets
from fasthep_parsl.ops.stream import Events

LEVELS = {"ZSTD": 5, "LZ4": 4, "ZLIB": 1, "LZMA": 5}


def write_parquet(path: Path, columns: Mapping[str, Any], length: int, compression: str) -> None:
    """Write a Parquet file."""
    try:
        import pyarrow as pa  # noqa: F401
    except ImportError:
        raise OpError("Parquet files need pyarrow: pip install 'fasthep-parsl[parquet]'") from None
    array = Events(columns, length).to_awkward()
    ak.to_parquet(array, str(path), compression=None if compression == "none" else compression, extensionarray=False)


def _is_jagged(column: Any) -> bool:
    return isinstance(column, ak.Array) and column.ndim > 1


def write_root(path: Path, events: Events, columns: Mapping[str, Any], tree: str, compression: str) -> None:
    """Write a TTree with one branch per column. The jagged branches of a collection share its counter.

    The same events give the same bytes: all times in the file are constant, and its UUID is a hash of the content (readers
    use it as a cache key).
    """
    import uproot

    branches = _branches(events, columns)
    level = LEVELS.get(compression.upper())
    codec = None if level is None else getattr(uproot, compression.upper())(level)
    uuid = _content_uuid(columns)
    with _constant_time(), uproot.recreate(path, compression=codec, uuid_function=lambda: uuid) as file:
        types = {name: _type_of(column) for name, column in branches.items()}
        out = file.mktree(tree, types, counter_name=lambda counted: f"n{counted}")
        if any(len(column) for column in branches.values()):
            out.extend(branches)


def _branches(events: Events, columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return the branches for uproot: columns, and one record array for each collection with a counter."""
    owners = {field: owner_of(field, events) for field, column in columns.items() if _is_jagged(column)}
    counters = {f"n{owner}" for owner in owners.values()}
    branches: dict[str, Any] = {}
    grouped: dict[str, dict[str, Any]] = {}
    for field, column in columns.items():
        owner = owners.get(field)
        if owner is not None:
            grouped.setdefault(owner, {})[field.removeprefix(f"{owner}_")] = column
        elif field not in counters:
            branches[field] = column
    for owner, fields in grouped.items():
        reference = None
        for name, column in fields.items():
            offsets, content = flatten(column, f"{owner}_{name}")
            reference = offsets if reference is None else reference
            if not (same_offsets(offsets, reference) and np.array_equal(np.diff(offsets), events[f"n{owner}"])):
                raise OpError(f"`{owner}_{name}` does not have the objects that `n{owner}` counts: rename the field")
            fields[name] = content
        layouts = [c.layout if isinstance(c, ak.Array) else ak.contents.NumpyArray(c) for c in fields.values()]
        record = ak.contents.RecordArray(layouts, list(fields))
        branches[owner] = ak.Array(ak.contents.ListOffsetArray(ak.index.Index64(reference), record))
    return branches


def _type_of(column: Any) -> Any:
    """Return the type of a branch for uproot."""
    if isinstance(column, ak.Array):
        return str(ak.type(column).content)
    return np.dtype((column.dtype, column.shape[1:])) if column.ndim > 1 else column.dtype


def prepare_column(name: str, column: Any, kind: str) -> Any:
    """Return a column as it is written to a file of format `kind`.

    Raises
    ------
    OpError
        The format does not support the column.
    """
    if isinstance(column, np.ndarray):
        if column.dtype.kind == "U":
            column = ak.from_iter(column.tolist()) if len(column) else ak.Array([""])[:0]
        elif column.dtype.kind not in "biuf" or column.dtype.itemsize > 8:
            raise OpError(f"`{name}` has the type {column.dtype}, which cannot be written to {_FILES[kind]}")
        else:
            column = np.ascontiguousarray(column, dtype=column.dtype.newbyteorder("="))
    elif kind == "root" and any(sign in str(column.type.content) for sign in ("?", "option[")):
        column = to_awkward(drop_masks(from_column(column)))  # perhaps no value is missing
    problem = _root_problem(column) if kind == "root" else None
    if problem:
        raise OpError(f"`{name}` {problem[0]}, which cannot be written to ROOT trees: {problem[1]}")
    return column


_FILES = {"root": "ROOT trees", "parquet": "Parquet files"}


def _root_problem(column: Any) -> tuple[str, str] | None:
    """Return what ROOT trees do not support in a column, and what to do; None if they support it."""
    numbers = column.dtype if isinstance(column, np.ndarray) else None
    if isinstance(column, ak.Array):
        inner: Any = ak.type(column).content
        found = str(inner)
        if "?" in found or "option" in found:
            return "has missing values", "use fill_none(…) first, or `format: parquet`"
        if found != "string":
            while isinstance(inner, ak.types.RegularType) and not inner.parameters:
                inner = inner.content
            if isinstance(inner, ak.types.ListType) and not inner.parameters:
                inner = inner.content
            if not isinstance(inner, ak.types.NumpyType) and str(inner) != "unknown":
                what = "records" if isinstance(inner, ak.types.RecordType) else f"lists of {inner}"
                return f"has {what}", "write their parts as separate fields, or use `format: parquet`"
            numbers = np.dtype(inner.primitive) if isinstance(inner, ak.types.NumpyType) else None
    if numbers is not None and numbers == np.float16:
        return "is float16", "use `dtype: float32` in hep.define, or `format: parquet`"
    return None


# --- reproducible files - -----------------------------------------------------------------------------


def _content_uuid(columns: Mapping[str, Any]) -> UUID:
    """Return a UUID computed from the content of a file."""
    digest = hashlib.blake2b(digest_size=16)
    for name, column in columns.items():
        digest.update(f"{name}\0{column.dtype if isinstance(column, np.ndarray) else column.type}\0".encode())
        parts = ak.to_buffers(ak.to_packed(column))[2].values() if isinstance(column, ak.Array) else [column]
        for part in parts:
            digest.update(np.ascontiguousarray(part).tobytes())
    return UUID(bytes=digest.digest())


class _ConstantTime(dt.datetime):
    @classmethod
    def now(cls, tz: Any = None) -> _ConstantTime:
        """Return the earliest time that ROOT supports."""
        return cls(1995, 1, 1, tzinfo=tz)


@contextmanager
def _constant_time() -> Iterator[None]:
    """Make uproot write a constant time into files."""
    from uproot.writing import _cascade, _cascadetree, writable

    modules = [module for module in (_cascade, _cascadetree, writable) if hasattr(module, "datetime")]
    stand_in = SimpleNamespace(datetime=_ConstantTime)
    for module in modules:
        module.datetime = stand_in
    try:
        yield
    finally:
        for module in modules:
            module.datetime = dt
