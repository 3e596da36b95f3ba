"""``memory``: how much resident memory calls add, and where they do.

Resident memory, not Python's own count (`tracemalloc`): most memory here is buffers of C libraries, and counting each
allocation costs a factor of 1.4 to 8. How much is exact, from the kernel's high-water mark; where is what a look every
few ms finds.
"""

from __future__ import annotations

from typing import Any

from fasthep_parsl.interfaces import Call
from fasthep_parsl.modifiers.profile.names import name_of
from fasthep_parsl.modifiers.profile.sampler import Stack, watching
from fasthep_parsl.resources import memory

MAX_PLACES = 30
"""Places that one call keeps, the highest."""


def measured(call: Call, interval: float) -> Call:
    """Return a call that notes its peak, and where it was seen."""

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
