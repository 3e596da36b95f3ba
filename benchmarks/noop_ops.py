"""Ops that do nothing, to measure the cost of a task."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from fasthep_parsl import op


@op("noop.warm", scope="workflow", product="ready")
def warm() -> int:
    """Run once, before all others. The pool is up when this ends."""
    return 1


@op("noop.first", per_partition=True)
def first(events: Any, *, ready: int = 0) -> dict[str, Any]:
    """Wait for `warm`. Process each partition alone."""
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


@op("noop.wait", scope="workflow", product="waited")
def wait(*, seconds: float, started: str) -> int:
    """Write the file `started`, then sleep."""
    Path(started).touch()
    time.sleep(seconds)
    return 1
