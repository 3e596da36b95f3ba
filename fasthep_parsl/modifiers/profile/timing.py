"""Measurement ``time``: wall and CPU seconds of each op."""

from __future__ import annotations

import time
from typing import Any

from fasthep_parsl.interfaces import Call


def timed(call: Call) -> Call:
    """Return a call that notes its wall and CPU seconds."""

    def measured(events: Any, **params: Any) -> Any:
        wall, cpu = time.perf_counter(), time.process_time()
        result = call.function(events, **params)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        count = len(events) if hasattr(events, "__len__") else 0
        call.note({"time": {"calls": 1, "wall": wall, "cpu": cpu, "longest": wall, "events": count}})
        return result

    return call.using(measured)
