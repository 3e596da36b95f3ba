"""`lists` and `jagged`: split jagged columns into offsets and flat content for kernels, and join them again."""

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

    The objects of event ``i`` are ``content[offsets[i]:offsets[i + 1]]``. Nothing is copied: the arrays share memory with
    the columns, in host memory or on the GPU. Other stages use the same memory. In host memory it is read-only.

    Parameters
    ----------
    events : mapping of str to column
        The events.
    *names : str
        Names of fields, at least one.

    Raises
    ------
    OpError
        A field is not jagged, has missing values in its lists, or has other list lengths than the first field.
    """
    if not names:
        raise OpError("lists(events, …): give the name of at least one field")
    offsets: Any = None
    contents = []
    for name in names:
        offsets_of_field, content = flatten(events[name], name)
        if isinstance(content, ak.Array) and not device.on_gpu(content):
            content = to_awkward(drop_masks(from_column(content)))
        if isinstance(content, ak.Array):
            raise OpError(
                f"`{name}` has missing values or is not numeric, but a kernel needs one number per object: "
                "use fill_none(…) first"
            )
        if offsets is None:
            offsets = offsets_of_field
        elif not same_offsets(offsets_of_field, offsets):
            raise OpError(f"`{names[0]}` and `{name}` have different numbers of objects per event")
        contents.append(content)
    return tuple(map(read_only, (offsets, *contents)))


def jagged(offsets: Any, content: Any) -> Any:
    """Return the jagged column with the given offsets, shape (events + 1,), and flat content. Copies nothing."""
    return unflatten(offsets, content)
