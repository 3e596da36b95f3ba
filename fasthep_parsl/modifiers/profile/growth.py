"""Measurement ``memory``: the resident memory that calls add, and the functions in which they do.

Resident memory is measured, not Python's own count (`tracemalloc`): most memory is in buffers of C libraries, and
counting each allocation costs a factor of 1.4 to 8. The amount is exact: it is the kernel's high-water mark. The
functions are sampled every few ms.
"""

from __future__ import annotations

from typing import Any

from fasthep_parsl.interfaces import Call
from fasthep_parsl.modifiers.profile.function_names import name_of
from fasthep_parsl.modifiers.profile.sampler import Stack, watching
from fasthep_parsl.resources import memory

MAX_PLACES = 30
"""Stacks kept per call: the ones with most memory."""


def measured(call: Call, interval: float) -> Call:
    """Return a call that notes its peak and the stacks around it."""

    def watched(events: Any, **params: Any) -> Any:
        highest: dict[Stack, int] = {}

        def look(stack: Stack, _seconds: float) -> None:
            highest[stack] = max(highest.get(stack, 0), memory.in_use())

        before = memory.restart_peak()
        with watching("memory", interval, watched.__code__, look):
            result = call.function(events, **params)
        peak = memory.peak_since()
        memory.give_back()
        after = memory.in_use()
        places = sorted(((value - before, stack) for stack, value in highest.items()), key=lambda item: -item[0])
        note = {
            "calls": 1,
            "peak": peak,
            "added": max(0, peak - before),
            "kept": max(0, min(after, peak) - before),
            "where": {";".join(map(name_of, stack)): added for added, stack in places[:MAX_PLACES][::-1] if added > 0},
        }
        call.note({"memory": note})
        return result

    return call.using(watched)
