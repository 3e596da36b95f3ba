"""Source ``parquet``: Parquet files, read by pyarrow."""

from __future__ import annotations

from typing import ClassVar

from fasthep_parsl.interfaces import OpenInput
from fasthep_parsl.workflow.values import Model


class Parquet(Model):
    """Parquet files; a row is an event. Needs pyarrow."""

    fork_safe: ClassVar[bool] = False  # pyarrow reads with threads

    def open(self, path: str) -> OpenInput:
        """Open a Parquet file."""
        from fasthep_parsl.sources.parquet_file import ParquetFile

        return ParquetFile(path)
