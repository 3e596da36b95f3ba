"""Jagged columns as kernels take them: offsets and flat content, without copies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fasthep_parsl.errors import OpError
from fasthep_parsl.ops import device
from fasthep_parsl.ops.arrays import ak
from fasthep_parsl.ops.collections.collection import flatten, unflatten
from fasthep_parsl.ops.columns.layouts import drop_masks, from_column, to_awkward
from fasthep_parsl.ops.columns.read_only import read_only
from fasthep_parsl.ops.columns.value_types import same_offsets


def lists(events: Mapping[str, Any], *names: str) -> tuple[Any, ...]:
    """Return ``(offsets, content, …)`` of jagged fields of the same objects.

    The objects of event ``i`` are at ``offsets[i]`` to ``offsets[i + 1]`` of every content. Contents share their memory
    with the columns, and lie where those lie: in the host's memory, or on the GPU. Other stages use the same memory: in
    the host's nothing can be written to it.

    Parameters
    ----------
    events : mapping of str to column
        The events.
    *names : str
        Fields, at least one.

    Raises
    ------
    OpError
        A field is not jagged, has missing values inside its lists, or has lists of other lengths than the first.
    """
    if not names:
        raise OpError("lists(events, …) needs the names of fields")
    offsets: Any = None
    contents = []
    for name in names:
        its, content = flatten(events[name], name)
        if isinstance(content, ak.Array) and not device.on_gpu(content):
            content = to_awkward(drop_masks(from_column(content)))
        if isinstance(content, ak.Array):
            raise OpError(
                f"`{name}` has missing values or is not made of numbers: a kernel needs one number per object"
            )
        if offsets is None:
            offsets = its
        elif not same_offsets(its, offsets):
            raise OpError(f"`{names[0]}` and `{name}` differ in the number of objects per event")
        contents.append(content)
    return tuple(map(read_only, (offsets, *contents)))


def jagged(offsets: Any, content: Any) -> Any:
    """Return the jagged column with these offsets, shape (events + 1,), and this flat content; without copies."""
    return unflatten(offsets, content)
