"""Analysis code of the tests: ops that show how they are called, or that fail when told to."""

from __future__ import annotations

import time
from typing import Any

import awkward as ak
import numpy as np

from fasthep_parsl import op


@op("probe.lengths", reads=["x"], product="lengths", merge=lambda a, b: a + b)
def lengths(events: Any) -> list[int]:
    """Return how many events each call saw."""
    return [len(events.x)]


@op("probe.alone", product="lengths", merge=lambda a, b: a + b, per_partition=True)
def alone(events: Any, *, context: Any) -> list[tuple[str, int]]:
    """Return the name of each partition and how many events it has."""
    return [(context.partition, len(events))]


@op("probe.sum", reads=["{field}"], product="sum", merge=lambda a, b: a + b)
def total(events: Any, *, field: str = "x") -> int:
    """Return the sum of a field of whole numbers: exact in any order."""
    return int(ak.sum(events[field]))


@op("probe.fail", reads=["x"])
def fail(events: Any, *, at: list[int], once: str = "") -> Any:
    """Raise if one of the events `at` is among these; if `once` is set, only while that file does not exist."""
    if once and open_once(once):
        return {}
    if np.isin(events.x, at).any():
        raise ValueError("probe: bad event")  # the line that failures name
    return {}


def open_once(path: str) -> bool:
    """Return whether a file exists."""
    from pathlib import Path

    return Path(path).exists()


@op("probe.sleep")
def sleep(events: Any, *, seconds: float) -> dict[str, Any]:
    """Take time."""
    del events
    time.sleep(seconds)
    return {}


@op("probe.all", reads=["{field}"], scope="workflow", product="all")
def everything(chunks: Any, *, field: str = "x") -> dict[str, Any]:
    """See all events at once."""
    parts = [np.asarray(chunk[field]) for chunk in chunks]
    values = np.sort(np.concatenate([np.empty(0), *parts]))
    return {"events": len(values), "sum": float(values.sum())}


@op("probe.each", reads=["x"], scope="dataset", product="each")
def each(chunks: Any, *, context: Any) -> dict[str, Any]:
    """See a whole dataset at once."""
    return {"dataset": context.dataset.name, "events": sum(len(chunk) for chunk in chunks)}


@op("probe.use", reads=["x"], writes=["y"])
def use(events: Any, *, given: Any) -> dict[str, Any]:
    """Take a product of another stage as a parameter."""
    return {"y": events.x + given["events"]}


@op("probe.all_or_none", reads=["x"], scope="workflow", product="all")
def all_or_none(chunks: Any, *, once: str) -> dict[str, Any]:
    """Go through all events, and fail while a file does not exist."""
    events = sum(len(chunk) for chunk in chunks)
    if not open_once(once):
        raise ValueError("probe: not yet")
    return {"events": events}


@op("probe.first", reads=["x"], scope="workflow", product="all")
def first(chunks: Any) -> dict[str, Any]:
    """Look at the first piece only."""
    return {"events": next(len(chunk) for chunk in chunks)}


@op("probe.list", writes=["odd"])
def list_of_numbers(events: Any) -> dict[str, Any]:
    """Return a column that is a list of Python's."""
    return {"odd": [1] * len(events)}


@op("probe.overwrite", reads=["x"])
def overwrite(events: Any) -> Any:
    """Write to a column, which others use as well."""
    events.x[:] = 0
    return {}


@op("probe.wrong")
def wrong(events: Any) -> Any:
    """Return neither events nor columns."""
    return len(events)


@op("probe.short", writes=["z"])
def short(events: Any) -> dict[str, Any]:
    """Return a column of the wrong length."""
    return {"z": np.zeros(len(events) + 1)}


@op("probe.backwards", reads=["x"])
def backwards(events: Any) -> Any:
    """Return the events in the opposite order."""
    return events[np.arange(len(events))[::-1]]


@op(
    "probe.on_gpu",
    reads=["x"],
    writes=["{output}"],
    product="peak",
    stream=True,
    merge=lambda a, b: {"x": a["x"] + b["x"]},
)
def on_gpu(events: Any, *, output: str = "twice") -> Any:
    """Return a column and a product that lie on a GPU."""
    import cupy

    x = cupy.asarray(np.asarray(events.x))
    return events.with_columns({output: x * 2}), {"x": x.sum()}


@op("probe.order", reads=["x"], product="order", merge=lambda a, b: a + b)
def order(events: Any) -> list[int]:
    """Return all x: in the order of events, if products are joined in it."""
    return [int(x) for x in events.x]


@op("probe.float", reads=["x"], product="float", merge=lambda a, b: a + b)
def inexact(events: Any) -> float:
    """Return a sum of floats whose last bits tell in which pairs it was added up."""
    return float(np.sum(1.0 / (events.x + 3.0) ** 3))


def _picky(a: int, b: int) -> int:
    if a + b > 20:
        raise ValueError("probe: too much")  # the line that failures name
    return a + b


@op("probe.picky", reads=["x"], product="sum", merge=_picky, per_partition=True)
def picky(events: Any) -> int:
    """Return a sum that is refused when it becomes large."""
    return int(ak.sum(events.x))


@op("probe.forgetful", reads=["x"], product="sum", merge=lambda a, b: None, per_partition=True)
def forgetful(events: Any) -> int:
    """Have a `merge` without a result."""
    return int(ak.sum(events.x))


@op("probe.generator", reads=["x"], product="sum", merge=lambda a, b: a, per_partition=True)
def generator(events: Any) -> Any:
    """Return what cannot be written to a file."""
    return (x for x in events.x)
