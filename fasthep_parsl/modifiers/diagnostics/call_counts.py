"""Count what enters and leaves an op, around each call."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from typing import Any

from fasthep_parsl.interfaces import Call, Note, Op
from fasthep_parsl.modifiers.diagnostics.counting import Counts, Outputs, add_counts, inputs
from fasthep_parsl.modifiers.diagnostics.gpu import watch_device
from fasthep_parsl.resources import memory

LARGER = 1.5
"""Memory is measured again if a call has this many times more events than the largest measured call."""
_NOTHING = nullcontext()


class Counted:
    """Calls an op and notes what enters and leaves it. Columns are counted when the pass is over.

    Parameters
    ----------
    call : Call
        The op.
    fields : bool
        Whether columns are counted.

    Notes
    -----
    The memory that a call adds is visible only if the worker first returns freed memory to the system. Getting that memory
    again costs more than everything else here. Calls with more events need more memory, so few calls are measured.
    """

    def __init__(self, call: Call, fields: bool) -> None:
        self._call = call
        self._fields = fields
        self._largest = -1

    def __call__(self, events: Any, **params: Any) -> Any:
        """Call the op."""
        whole = events is None or hasattr(events, "available")
        given: Any = events if whole else _Chunks(events, self._call.reads, self._fields)
        size = len(given) if whole and given is not None else 0
        weighed = not whole or size > LARGER * self._largest
        before = memory.restart_peak() if weighed else 0
        wall, cpu = time.perf_counter(), time.process_time()
        with watch_device() if "cupy" in sys.modules else _NOTHING as device:
            result = self._call.function(given, **params)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        note: dict[str, Any] = {"op": self._call.op.name, "calls": 1, "wall": wall, "cpu": cpu}
        if weighed:
            note["memory"] = memory.peak_since()
            note["added"] = max(0, note["memory"] - before)
        if device is not None and device.peak:
            note["gpu_memory"] = device.peak
        left = _outputs(self._call.op, given, result)
        self._call.note(lambda: self._counted(note, given, left))
        return result

    def _counted(self, note: dict[str, Any], given: Any, left: Outputs | None) -> Note:
        """Return the note of a call whose pass has succeeded."""
        if isinstance(given, _Chunks):
            note["events_in"], note["fields_in"] = given.events, given.fields
        elif given is not None:
            note["events_in"] = len(given)
            note["fields_in"] = inputs(given, self._call.reads) if self._fields else {}
        if "memory" in note:
            self._largest = note.get("events_in", 0)
        if left is not None:
            note["events_out"] = left.events
            if self._fields:
                note["fields_out"] = left.counts()
        return note


class _Chunks:
    """Chunks of a stream that are counted while they pass.

    Parameters
    ----------
    chunks : iterable of Events
        The chunks that the op receives.
    reads : tuple of str
        Fields that the op reads.
    count : bool
        Whether fields are counted.

    Attributes
    ----------
    events : int
        Number of events so far.
    fields : dict
        Counts of fields so far.
    """

    def __init__(self, chunks: Iterable[Any], reads: tuple[str, ...], count: bool) -> None:
        self._chunks = chunks
        self._reads = reads
        self._count = count
        self._first = True
        self.events = 0
        self.fields: dict[str, Counts] = {}

    def __iter__(self) -> Iterator[Any]:
        first, self._first = self._first, False
        for chunk in self._chunks:
            try:
                yield chunk
            finally:  # also if the op stops early
                if first:  # count once, even if the op iterates again
                    self.events += len(chunk)
                    if self._count:
                        self.fields = add_counts(self.fields, inputs(chunk, self._reads))


def _outputs(op: Op, given: Any, result: Any) -> Outputs | None:
    """Return the stream in the result of an op; None if it has none. Wrong results are reported elsewhere."""
    if not op.stream:
        return None
    stream = result[0] if op.product and isinstance(result, tuple) and len(result) == 2 else result
    return Outputs(given, stream) if isinstance(stream, Mapping) or getattr(stream, "fields", None) else None
