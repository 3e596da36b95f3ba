"""Read passes from input files: adjacent partitions of a file at once."""

from __future__ import annotations

import contextlib
import threading
import time
from functools import partial

import numpy as np

from fasthep_parsl.interfaces import InputFileError, Reading
from fasthep_parsl.ops.stream import Events
from fasthep_parsl.plan import PlanSegment
from fasthep_parsl.sources.files import OpenFiles, bytes_by_branch, prefetch_fields, read_fields
from fasthep_parsl.tasks import Span
from fasthep_parsl.worker import trail
from fasthep_parsl.worker.program import Meter, Program

_FILES = OpenFiles()


class Reader:
    """Reads the columns of a segment.

    Parameters
    ----------
    program : Program
        The plan with its code.
    segment : PlanSegment
        The segment.
    meter : Meter
        Measures the time.

    Attributes
    ----------
    bytes_read : int
        Compressed bytes read so far.
    """

    def __init__(self, program: Program, segment: PlanSegment, meter: Meter) -> None:
        self._program = program
        self._plan = program.plan
        self._segment = segment
        self._meter = meter
        self.bytes_read = 0
        self._opening: threading.Thread | None = None

    def read(self, span: Span, place: tuple[int, int, int]) -> Events:
        """Return the events of the partitions [first, last) of one file.

        Parameters
        ----------
            span : tuple of int
                First partition and the one after the last, as plan-wide numbers.
            place : tuple of int
                Dataset, file and number within the file of the first one, as `Plan.locate` returns them.

        Raises
        ------
            InputFileError
        The file cannot be read, or changed after the plan was made. Remote files are opened a second time first.
        """
        self._settle()
        trail.at("")
        first, last = span
        dataset = self._plan.datasets[place[0]]
        file = dataset.files[place[1]]
        edges = file.edges[place[2] : place[2] + last - first + 1]
        start, stop = edges[0], edges[-1]
        owners = np.repeat(np.arange(first, last), np.diff(edges)) if self._segment.stores else None
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

    def ahead(self, span: Span) -> None:
        """Begin to read the partitions that `read` will be asked for next, while this pass is processed.

        Only remote files are worth it. A failure is an ordinary read later.
        """
        place = self._plan.locate(span[0])
        dataset = self._plan.datasets[place[0]]
        file = dataset.files[place[1]]
        if not file.remote:
            return
        edges = file.edges[place[2] : place[2] + span[1] - span[0] + 1]
        source = self._plan.source.with_tree(dataset.tree)

        def work() -> None:
            with contextlib.suppress(Exception):  # the read that needs it reports its own
                opened = _FILES.get(file.path, source, file)
                prefetch_fields(opened, source, self._segment.columns, edges[0], edges[-1])

        self._settle()
        self._opening = threading.Thread(target=work, name="read-ahead", daemon=True)
        self._opening.start()

    def _settle(self) -> None:
        """Wait until the file of `ahead` is open: files are opened by one thread at a time."""
        if self._opening is not None:
            self._opening.join()
            self._opening = None
