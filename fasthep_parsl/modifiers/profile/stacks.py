"""Measurement ``flame``: seconds per stack of functions."""

from __future__ import annotations

from typing import Any

from fasthep_parsl.interfaces import Call
from fasthep_parsl.modifiers.profile.function_names import OTHER, name_of
from fasthep_parsl.modifiers.profile.sampler import Stack, watching

MAX_STACKS = 100
"""Stacks kept per call: the ones with most time. The others are summed. Each takes about 300 bytes."""


def sampled(call: Call, interval: float) -> Call:
    """Return a call whose stack is sampled every `interval` seconds."""

    def watched(events: Any, **params: Any) -> Any:
        found: dict[Stack, float] = {}
        looks = 0

        def look(stack: Stack, seconds: float) -> None:
            nonlocal looks
            looks += 1
            found[stack] = found.get(stack, 0.0) + seconds

        with watching("flame", interval, watched.__code__, look):
            result = call.function(events, **params)
        call.note(lambda: {"flame": {"looks": looks, "stacks": named(found)}})
        return result

    return call.using(watched)


def named(found: dict[Stack, float]) -> dict[str, float]:
    """Return ``outer;inner`` → seconds, the largest `MAX_STACKS` and the sum of the others."""
    largest = sorted(found.items(), key=lambda item: -item[1])
    kept: dict[str, float] = {}
    for stack, seconds in largest[:MAX_STACKS]:
        name = ";".join(map(name_of, stack))
        kept[name] = round(kept.get(name, 0.0) + seconds, 6)
    if largest[MAX_STACKS:]:
        kept[OTHER] = round(sum(seconds for _, seconds in largest[MAX_STACKS:]), 6)
    return kept
