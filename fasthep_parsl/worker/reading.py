"""Read passes from input files: adjacent partitions of a file at once."""

from __future__ import annotations

import threading
import time
from functools import partial

import numpy as np

from fasthep_parsl.interfaces import InputFileError, OpenInput, Reading
from fasthep_parsl.ops.stream import Column, Events
from fasthep_parsl.plan import PlanFile, PlanSegment, PlanSource
from fasthep_parsl.sources.files import OpenFiles, bytes_by_branch, prefetch_fields, read_fields
from fasthep_parsl.tasks import Span
from fasthep_parsl.worker import trail
from fasthep_parsl.worker.meter import Meter
from fasthep_parsl.worker.program import Program
from fasthep_parsl.worker.replicas import Replicas

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
    replicas : Replicas
        The servers, as this process knows them.

    Attributes
    ----------
    bytes_read : int
        Compressed bytes read so far.
    """

    def __init__(self, program: Program, segment: PlanSegment, meter: Meter, replicas: Replicas) -> None:
        self._program = program
        self._plan = program.plan
        self._segment = segment
        self._meter = meter
        self._replicas = replicas
        self.bytes_read = 0
        self._opening: threading.Thread | None = None
        self._missed: tuple[PlanFile, str, InputFileError] | None = None

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
        The file cannot be read at any of its places, or changed after the plan was made.
        """
        self._settle()
        trail.at("")
        first, last = span
        dataset = self._plan.datasets[place[0]]
        file = dataset.files[place[1]]
        edges = file.edges[place[2] : place[2] + last - first + 1]
        start, stop = edges[0], edges[-1]
        owners = np.repeat(np.arange(first, last), np.diff(edges)) if self._segment.stores else None
        source = self._plan.source.of(dataset)
        columns = self._segment.columns_of(dataset.name)
        wall, cpu = time.perf_counter(), time.process_time()
        with self._meter.measure("read"):
            opened, found = self._replicas.read(file, partial(self._attempt, file, source, columns, start, stop))
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
        source = self._plan.source.of(dataset)
        columns = self._segment.columns_of(dataset.name)

        def work() -> None:
            try:
                opened = self._open(file, source, where, patient=len(file.places) == 1)
                prefetch_fields(opened, source, columns, edges[0], edges[-1])
            except InputFileError as error:
                self._missed = file, where, error
            except Exception:  # noqa: BLE001, S110  (the read that needs it reports its own)
                pass

        self._settle()
        where = self._replicas.first(file)
        self._opening = threading.Thread(target=work, name="read-ahead", daemon=True)
        self._opening.start()

    def _settle(self) -> None:
        """Wait until the file of `ahead` is open: files are opened by one thread at a time."""
        if self._opening is not None:
            self._opening.join()
            self._opening = None
        if self._missed is not None:
            self._replicas.missed(*self._missed)
            self._missed = None

    def _attempt(
        self,
        file: PlanFile,
        source: PlanSource,
        columns: tuple[str, ...],
        start: int,
        stop: int,
        place: str,
        patient: bool,
    ) -> tuple[OpenInput, dict[str, Column]]:
        """Read events of a file at one of its places; close it after an error, so that the next attempt opens it again."""
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            opened = self._open(file, source, place, patient=patient)
            before = opened.bytes_read
            found = read_fields(opened, source, columns, start, stop)
        except Exception:
            _FILES.drop(place)
            raise
        size = opened.bytes_read - before
        self.bytes_read += size
        if file.remote:
            waited = time.perf_counter() - wall - (time.process_time() - cpu)
            self._replicas.received(file, place, size, max(waited, 0.0), source.storage.read_timeout)
        return opened, found

    def _open(self, file: PlanFile, source: PlanSource, place: str, *, patient: bool) -> OpenInput:
        """Return a file at one of its places, open."""
        known = file if place == file.path else file.model_copy(update={"size": -1})  # another place has its own time
        before = _FILES.opened
        opened = _FILES.get(place, source if patient else _impatient(source), known)
        if file.remote and _FILES.opened > before:
            self._replicas.opened(place)
        return opened


def _impatient(source: PlanSource) -> PlanSource:
    """Return a source that does not wait for passing faults: the next place is read meanwhile."""
    return source.model_copy(update={"storage": source.storage.model_copy(update={"retries": 0})})
