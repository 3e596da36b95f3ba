"""Source ``lines``: text files; the first line has the names of the columns, each other line an event of numbers."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from fasthep_parsl.interfaces import Branch, Branches, InputFileError


class Lines(BaseModel):
    """Text files with a number per event and column."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    fork_safe: ClassVar[bool] = True

    separator: str = Field(",", description="text between two numbers")

    def open(self, path: str) -> LinesFile:
        """Open a text file."""
        return LinesFile(path, self.separator)


class LinesFile:
    """An open text file."""

    section = ""
    uuid = ""

    def __init__(self, path: str, separator: str) -> None:
        import numpy as np

        self.path = path
        self.bytes_read = 0
        try:
            names, *lines = Path(path).read_text().splitlines()
            self._values = np.array([[float(word) for word in line.split(separator)] for line in lines])
        except (OSError, ValueError) as error:
            raise InputFileError(path, "not a table of numbers", "is the separator right?", key="separator") from error
        self._columns = {name: number for number, name in enumerate(names.split(separator))}
        self.entries = len(lines)

    def clusters(self):
        return [*range(0, self.entries, 10), self.entries] if self.entries else []

    def branches(self):
        return Branches({name: Branch(dtype="float64") for name in self._columns})

    def has(self, column):
        return column in self._columns

    def read(self, columns, start, stop):
        self.bytes_read += 1
        return {name: self._values[start:stop, self._columns[name]].copy() for name in columns}

    def branch_bytes(self, columns, start, stop):
        return dict.fromkeys(columns, 8 * (stop - start))

    def close(self):
        pass
