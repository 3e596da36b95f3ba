"""Parquet files: structure and types of the columns, and values of an entry range, read by pyarrow."""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from itertools import pairwise
from typing import Any

import awkward as ak
import numpy as np

from fasthep_parsl.errors import suggest, summary_of
from fasthep_parsl.interfaces import Branch, Branches, InputFileError
from fasthep_parsl.ops.stream import Column
from fasthep_parsl.sources.columns import tidy
from fasthep_parsl.sources.disk_sizes import StoredBranch, StoredTree
from fasthep_parsl.sources.forms import Members, fields_of, take
from fasthep_parsl.storage import FileObject, Range, current_limits, is_remote, local_path, open_remote


class ParquetFile:
    """A Parquet file, local or remote."""

    section = ""

    def __init__(self, path: str) -> None:
        try:
            import pyarrow.parquet
        except ImportError:
            raise InputFileError(
                path, "Parquet needs pyarrow", "pip install 'fasthep-parsl[parquet]'", key="kind"
            ) from None
        try:
            self._remote = open_remote(path, current_limits()) if is_remote(path) else None
            if self._remote is not None:
                self._file = pyarrow.parquet.ParquetFile(FileObject(self._remote), pre_buffer=False)
            else:
                self._file = pyarrow.parquet.ParquetFile(local_path(path), memory_map=True)
        except InputFileError:  # of the server
            raise
        except FileNotFoundError:
            raise InputFileError(path, "no such file", cause="not_found") from None
        except Exception as error:
            message = f"not a readable Parquet file: {summary_of(error)}"
            raise InputFileError(path, message, cause="corrupt") from error
        self.path = path
        self.entries = int(self._file.metadata.num_rows)
        self.uuid = _identity(self._file.metadata)
        self._bytes = 0
        self._leaves: dict[str, list[int]] | None = None

    def clusters(self) -> list[int]:
        """Return the event numbers at which row groups begin, with 0 and the end."""
        metadata = self._file.metadata
        rows = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
        return [0, *np.cumsum(rows).tolist()] if rows else []

    @cached_property
    def _fields(self) -> dict[str, tuple[str, Members, Branch]]:
        """Name → column, members to take, and description."""
        schema = self._file.schema_arrow
        often = Counter(schema.names)
        found: dict[str, tuple[str, Members, Branch]] = {}
        inside: dict[str, tuple[str, Members, Branch]] = {}
        for field in schema:
            if often[field.name] > 1:
                problem = f"is the name of {often[field.name]} columns"
                found[field.name] = (
                    field.name,
                    (),
                    Branch(problem=problem, hint="write the file with a different name for each"),
                )
                continue
            for name, (members, branch) in _describe(field).items():
                (found if not members else inside)[name] = field.name, members, branch
        return inside | found

    def branches(self) -> Branches:
        """Return columns and members of records with structure and type."""
        return Branches({name: branch for name, (_, _, branch) in self._fields.items()})

    def has(self, column: str) -> bool:
        """Return whether the file has a column."""
        return column in self._fields

    def read(self, columns: Iterable[str], start: int, stop: int) -> dict[str, Column]:
        """Return events [start, stop)."""
        wanted = {name: self._field(name) for name in columns}
        names = list(dict.fromkeys(column for column, _ in wanted.values()))
        groups, offset = self._groups(start, stop)
        try:
            if self._remote is not None:  # pyarrow reads each column by itself
                self._remote.prefetch(self._places(names, groups), wait=True)
            table = self._table(groups, names)
            # awkward reads wrong bits for missing values from a slice of an Arrow table: slice its arrays instead.
            rows = slice(start - offset, stop - offset)
            arrays = {name: _array(table[name])[rows] for name in names}
            if start == stop:  # by its type, a table without rows could have missing values
                arrays = {name: ak.Array(_present(a.layout.form).length_zero_array()) for name, a in arrays.items()}
            found = tidy({name: take(arrays[column], members) for name, (column, members) in wanted.items()})
        except InputFileError:  # of the server
            raise
        except Exception as error:
            where = f"events {start}–{stop} cannot be read: {summary_of(error)}"
            raise InputFileError(self.path, where, "is the file damaged?", cause="corrupt") from error
        self._bytes += sum(self._column_bytes(names, start, stop).values())
        return found

    def prefetch(self, columns: Iterable[str], start: int, stop: int) -> None:
        """Begin to fetch what `read` will need for events [start, stop) from a server."""
        if self._remote is not None:
            names = dict.fromkeys(self._field(name)[0] for name in columns)
            self._remote.prefetch(self._places(names, self._groups(start, stop)[0]))

    def _places(self, columns: Iterable[str], groups: Iterable[int]) -> list[Range]:
        """Return where the values of columns are."""
        metadata = self._file.metadata
        self._leaves = self._leaves or _leaves(metadata, self._file.schema_arrow.names)
        leaves = [leaf for name in columns for leaf in self._leaves[name]]
        return [_place(metadata.row_group(group).column(leaf)) for group in groups for leaf in leaves]

    def _table(self, groups: list[int], columns: list[str]) -> Any:
        import pyarrow as pa

        try:
            return self._file.read_row_groups(groups, columns=columns)
        except pa.ArrowNotImplementedError:  # lists of text with a dictionary: read one group at a time
            if len(groups) < 2:
                raise
            return pa.concat_tables([self._file.read_row_group(group, columns=columns) for group in groups])

    def _field(self, name: str) -> tuple[str, Members]:
        if name not in self._fields:
            raise InputFileError(self.path, f"no column `{name}`", suggest(name, self._fields, what="columns"))
        column, members, branch = self._fields[name]
        if branch.problem:
            raise InputFileError(self.path, f"column `{name}` {branch.problem}", branch.hint)
        return column, members

    def _groups(self, start: int, stop: int) -> tuple[list[int], int]:
        """Return the row groups that contain events [start, stop), and the number of their first event."""
        edges = self.clusters()
        groups = [i for i, (low, high) in enumerate(pairwise(edges)) if low < stop and high > start]
        return groups, edges[groups[0]] if groups else 0

    def branch_bytes(self, columns: Iterable[str], start: int, stop: int) -> dict[str, int]:
        """Return the compressed bytes of `columns` in the row groups that contain events [start, stop)."""
        wanted = {name: self._field(name)[0] for name in columns}
        found = self._column_bytes(wanted.values(), start, stop)
        return {name: found[column] for name, column in wanted.items()}

    def _column_bytes(self, columns: Iterable[str], start: int, stop: int) -> dict[str, int]:
        metadata = self._file.metadata
        if self._leaves is None:
            self._leaves = _leaves(metadata, self._file.schema_arrow.names)
        groups = [metadata.row_group(i) for i in self._groups(start, stop)[0]]
        return {
            name: sum(group.column(leaf).total_compressed_size for group in groups for leaf in self._leaves[name])
            for name in columns
        }

    def stored(self) -> StoredTree:
        """Return what the columns take on disk, as the footer says."""
        names = list(dict.fromkeys(self._file.schema_arrow.names))
        sizes = self._column_bytes(names, 0, self.entries)
        branches = {name: StoredBranch("", size) for name, size in sizes.items()}
        metadata = self._file.metadata
        return StoredTree(sum(sizes.values()), "chunks", metadata.num_row_groups * metadata.num_columns, branches)

    @property
    def bytes_read(self) -> int:
        """Compressed bytes read so far."""
        return self._bytes

    def close(self) -> None:
        """Release the file."""
        self._file.close()


def _place(chunk: Any) -> Range:
    """Return where the values of a column in a row group are. Its dictionary, if it has one, comes first."""
    start = chunk.data_page_offset
    if chunk.has_dictionary_page and chunk.dictionary_page_offset is not None:
        start = min(start, chunk.dictionary_page_offset)
    return Range(start, start + chunk.total_compressed_size)


def _leaves(metadata: Any, columns: Iterable[str]) -> dict[str, list[int]]:
    """Return the leaves of each column. Leaves of lists and records have longer names."""
    found: dict[str, list[int]] = {name: [] for name in columns}
    for leaf in range(metadata.num_columns):
        path = metadata.schema.column(leaf).path
        head = path
        while head not in found and "." in head:  # a column name may contain a dot
            head = head.rpartition(".")[0]
        found.setdefault(head, []).append(leaf)
    return found


def _describe(field: Any) -> dict[str, tuple[Members, Branch]]:
    """Return the fields of a column from its type. Reads no value."""
    problem = _unknown_inside(field.type)
    if problem:
        return {field.name: ((), Branch(problem=problem, hint="write it as numbers or text"))}
    try:
        form = _array(field.type, empty=True).layout.form
    except Exception as error:  # noqa: BLE001  (awkward and pyarrow raise several errors)
        return {field.name: ((), Branch(problem=f"cannot be read: {summary_of(error)}"))}
    return fields_of(field.name, form)


def _unknown_inside(kind: Any) -> str:
    """Return why expressions do not support a type; empty if they do."""
    import pyarrow as pa

    is_ = pa.types
    tests = {
        "has decimal numbers": (is_.is_decimal,),
        "has dates": (is_.is_date, is_.is_timestamp),
        "has times": (is_.is_time, is_.is_duration, is_.is_interval),
        "has no type": (is_.is_null,),
    }
    kind = _plain(kind)
    return next((message for message, kinds in tests.items() if any(test(kind) for test in kinds)), "")


def _array(column: Any, *, empty: bool = False) -> Any:
    """Return a column of a table as an awkward array. With `empty`, `column` is a type, and the array has no entries."""
    import pyarrow as pa

    if empty:
        column = pa.chunked_array([], column)
    plain = _plain(column.type)
    return ak.from_arrow(column if plain == column.type else column.cast(plain))


def _present(form: Any) -> Any:
    """Return a form in which nothing can be missing."""
    while form.is_option or form.is_indexed:
        form = form.content
    if form.is_list:
        return form.copy(content=_present(form.content))
    return form.copy(contents=[_present(content) for content in form.contents]) if form.is_record else form


def _plain(kind: Any) -> Any:
    """Return an Arrow type without dictionaries, maps and half precision, which no other module supports."""
    import pyarrow as pa

    is_ = pa.types
    if is_.is_dictionary(kind):
        kind = _plain(kind.value_type)
    elif is_.is_float16(kind):
        kind = pa.float32()
    elif is_.is_list(kind):
        kind = pa.list_(_plain_field(kind.value_field))
    elif is_.is_large_list(kind):
        kind = pa.large_list(_plain_field(kind.value_field))
    elif is_.is_fixed_size_list(kind):
        kind = pa.list_(_plain_field(kind.value_field), kind.list_size)
    elif is_.is_map(kind):
        kind = pa.list_(pa.struct([_plain_field(kind.key_field), _plain_field(kind.item_field)]))
    elif is_.is_struct(kind):
        kind = pa.struct([_plain_field(field) for field in kind])
    return kind


def _plain_field(field: Any) -> Any:
    return field.with_type(_plain(field.type))


def _identity(metadata: Any) -> str:
    """Return a hash of the footer, which contains sizes and extremes of all columns: Parquet files have no UUID."""
    footer = io.BytesIO()
    metadata.write_metadata_file(footer)
    return hashlib.blake2b(footer.getbuffer(), digest_size=16).hexdigest()
