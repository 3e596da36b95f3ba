"""Source ``parquet``: a Parquet file."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import awkward as ak
import numpy as np

from fasthep_parsl.interfaces import Shape
from fasthep_parsl.ops.stream import Column
from fasthep_parsl.worker.columns import InputFileError, first_line, tidy


class ParquetFile:
    """A Parquet file, local or remote."""

    def __init__(self, path: str) -> None:
        try:
            import pyarrow.parquet
        except ImportError:
            raise InputFileError(path, "Parquet needs pyarrow", "pip install 'fasthep-parsl[parquet]'") from None
        try:
            self._file = pyarrow.parquet.ParquetFile(path, memory_map=True)
        except FileNotFoundError:
            raise InputFileError(path, "no such file") from None
        except Exception as error:
            raise InputFileError(path, f"not a readable Parquet file: {first_line(error)}") from error
        self.path = path
        self.entries = int(self._file.metadata.num_rows)
        self._bytes = 0
        self._leaves: dict[str, list[int]] | None = None

    def clusters(self) -> list[int]:
        """Event numbers at which row groups begin, with 0 and the end."""
        metadata = self._file.metadata
        rows = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
        return [0, *np.cumsum(rows).tolist()] if rows else []

    def shapes(self) -> dict[str, Shape]:
        """Columns and their structure; lists are grouped by the name before the first underscore."""
        found: dict[str, Shape] = {}
        for field in self._file.schema_arrow:
            nested = "list" in str(field.type)
            found[field.name] = ("*",) if nested else ()
        return found

    def has(self, column: str) -> bool:
        """Return whether the file has a column."""
        return column in self._file.schema_arrow.names

    def read(self, columns: Iterable[str], start: int, stop: int) -> dict[str, Column]:
        """Return events [start, stop)."""
        names = list(columns)
        groups, offset = self._groups(start, stop)
        table = self._file.read_row_groups(groups, columns=names)
        self._bytes += sum(self.branch_bytes(names, start, stop).values())
        # Of a slice of Arrow's own awkward takes the wrong bits for what is missing: it is cut behind.
        rows = slice(start - offset, stop - offset)
        return tidy({name: ak.from_arrow(table[name])[rows] for name in names})

    def _groups(self, start: int, stop: int) -> tuple[list[int], int]:
        """Return the row groups that hold events [start, stop), and the first event of the first of them."""
        edges = self.clusters()
        groups = [i for i, (low, high) in enumerate(pairwise(edges)) if low < stop and high > start]
        return groups, edges[groups[0]] if groups else 0

    def branch_bytes(self, columns: Iterable[str], start: int, stop: int) -> dict[str, int]:
        """Return the compressed bytes of `columns` in the row groups that hold events [start, stop)."""
        metadata = self._file.metadata
        if self._leaves is None:
            self._leaves = {}
            for leaf in range(metadata.num_columns):  # a list or a record has leaves of longer names
                self._leaves.setdefault(metadata.schema.column(leaf).path.split(".")[0], []).append(leaf)
        groups = [metadata.row_group(i) for i in self._groups(start, stop)[0]]
        return {
            name: sum(group.column(leaf).total_compressed_size for group in groups for leaf in self._leaves[name])
            for name in columns
        }

    @property
    def bytes_read(self) -> int:
        """Compressed bytes read so far."""
        return self._bytes

    def close(self) -> None:
        """Release the file."""
        self._file.close()
