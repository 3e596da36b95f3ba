"""Ops that do nothing, so that what is left is what a task costs."""

from __future__ import annotations

from typing import Any

from fasthep_parsl import op


@op("noop.warm", scope="workflow", product="ready")
def warm() -> int:
    """Run once before all others: after it, the pool is up."""
    return 1


@op("noop.first", per_partition=True)
def first(events: Any, *, ready: int = 0) -> dict[str, Any]:
    """Wait for `warm`; see every partition alone."""
    del events, ready
    return {}


@op("noop.pass")
def pass_on(events: Any) -> dict[str, Any]:
    """Do nothing."""
    del events
    return {}


@op("noop.count", product="count", merge=lambda a, b: a + b)
def count(events: Any) -> int:
    """Count partitions."""
    del events
    return 1
