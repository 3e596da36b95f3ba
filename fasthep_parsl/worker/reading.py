"""Reading passes over the source: adjacent partitions of one file at once."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import numpy as np

from fasthep_parsl.interfaces import InputFileError, Reading
from fasthep_parsl.ops.stream import Events
from fasthep_parsl.plan import PlanSegment
from fasthep_parsl.sources.files import OpenFiles, bytes_by_branch, read_fields
from fasthep_parsl.worker import trail
from fasthep_parsl.worker.program import Meter, Program
from fasthep_parsl.worker.spans import Span

_FILES = OpenFiles()


class Reader:
    """Reads what a segment needs of the source.

    Parameters
    ----------
    program : Program
        The plan with its code.
    segment : PlanSegment
        Whose columns are read.
    meter : Meter
        Takes the time.

    Attributes
    ----------
    bytes_read : int
        Compressed bytes so far.
    """

    def __init__(self, program: Program, segment: PlanSegment, meter: Meter) -> None:
        self._program = program
        self._plan = program.plan
        self._segment = segment
        self._meter = meter
        self.bytes_read = 0

    def read(self, span: Span) -> Events:
        """Return the events of the partitions [first, last) of one file.

        Raises
        ------
        InputFileError
            The file cannot be read, or is not the one that was planned; a remote file is opened a second time before.
        """
        trail.at("")
        first, last = span
        dataset, file, start, _ = self._plan.partition_range(first)
        stop = self._plan.partition_range(last - 1)[3]
        owners = self._owners(first, last) if self._segment.stores else None
        source = self._plan.source.with_tree(dataset.tree)
        columns = self._segment.columns
        wall, cpu = time.perf_counter(), time.process_time()
        with self._meter.measure("read"):
            for attempt in (1, 2):
                try:
                    opened = _FILES.get(file.path, source, file)
                    before = opened.bytes_read
                    found = read_fields(opened, source, columns, start, stop)
                    break
                except InputFileError:
                    _FILES.drop(file.path)
                    if attempt == 2 or "://" not in file.path:
                        raise
            self.bytes_read += opened.bytes_read - before
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        branches = partial(bytes_by_branch, opened, source, columns, start, stop)
        self._program.modifiers.after_reading(self._segment, Reading(stop - start, wall, cpu, branches))
        return Events(found, stop - start, owners)

    def _owners(self, first: int, last: int) -> Any:
        """Return the partition of each event in a range of partitions of one file."""
        dataset, number, inside = self._plan.locate(first)
        edges = self._plan.datasets[dataset].files[number].edges[inside : inside + last - first + 1]
        return np.repeat(np.arange(first, last), np.diff(edges))
