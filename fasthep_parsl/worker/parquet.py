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
        edges = self.clusters()
        groups = [i for i, (low, high) in enumerate(pairwise(edges)) if low < stop and high > start]
        names = list(columns)
        table = self._file.read_row_groups(groups, columns=names)
        metadata = self._file.metadata
        self._bytes += sum(metadata.row_group(i).total_byte_size for i in groups)
        offset = edges[groups[0]] if groups else 0
        table = table.slice(start - offset, stop - start)
        return tidy({name: ak.from_arrow(table[name]) for name in names})

    @property
    def bytes_read(self) -> int:
        """Bytes of the row groups read so far."""
        return self._bytes

    def close(self) -> None:
        """Release the file."""
        self._file.close()
