"""Columns that nobody can write to: all stages of a pass, and the passes of a task, share their memory.

NumPy refuses to write to an array whose flag says so. Whoever owns the memory could set the flag again, so what is handed
out is a view, of an owner that is closed as well. Arrays of CuPy have no such flag: ops of users get copies of them.
"""

from __future__ import annotations

import copy
import sys
import weakref
from collections.abc import Mapping
from typing import Any

from fasthep_parsl.ops import device
from fasthep_parsl.ops.arrays import ak, np

_INDEXES = frozenset({"_offsets", "_starts", "_stops", "_index", "_mask", "_tags"})
"""Where contents of awkward keep their structure."""


def read_only(column: Any) -> Any:
    """Return a column, in host memory, to which nothing can be written any more: offsets, masks and text neither."""
    if isinstance(column, np.ndarray):
        return _seal(column)
    if isinstance(column, ak.Array):
        for holder in _holders(column.layout):
            data = holder._data
            if isinstance(data, np.ndarray):
                holder._data = _seal(data)
        return shallow_copy(column)
    return column


def shallow_copy(column: Any) -> Any:
    """Return records as an array of their own: ``array["field"] = …`` replaces what is in that one alone."""
    return copy.copy(column) if isinstance(column, ak.Array) and column.fields else column


def _seal(array: Any) -> Any:
    if array.base is not None and not _is_open(array):
        return array  # as usual: it was sealed before
    owner = array
    while isinstance(owner, np.ndarray):
        owner.flags.writeable = False
        owner = owner.base
    if array.base is not None:
        return array
    known = _views.get(array)
    view = None if known is None else known()
    if view is None:
        view = array.view()
        _views.put(array, weakref.ref(view))  # a view keeps its owner alive, so the table must not keep the view
    return view


_views = device.WeakArrayDict()
"""Owner → its view: columns that share their offsets are known by that."""


def _is_open(base: Any) -> bool:
    """Whether an array, or one that it is a view of, can be written to."""
    return isinstance(base, np.ndarray) and (base.flags.writeable or _is_open(base.base))


def _holders(layout: Any) -> list[Any]:
    """Return what holds the buffers of an awkward array: its indexes, and its arrays of numbers."""
    found: list[Any] = []
    for name, value in vars(layout).items():
        if name in _INDEXES:
            found.append(value)
        elif name == "_content":
            found += _holders(value)
        elif name == "_data":
            found.append(layout)
        elif name == "_contents":
            found += [holder for content in value for holder in _holders(content)]
    return found


# --- what ops of users are given and return -----------------------------------------------------------------------------


def protect(column: Any, name: str, copies: dict[Any, Any]) -> Any:
    """Return a column in host memory as it is, one on a GPU as a copy, the same one each time: nothing can be closed there.

    Parameters
    ----------
    column : column
        What others use as well.
    name : str
        Its name.
    copies : dict
        Filled here.
    """
    if not device.on_gpu(column):
        return shallow_copy(column)
    if name not in copies:
        copies[name] = _copied(column, copies)
    return copies[name]


def take_ownership(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return columns that an op has made, as copies where it may still hold their memory and write to it.

    An op may fill the same array in each pass and return it; columns of passes before would change with it. Memory that
    cannot be written to is that of other columns.
    """
    copies: dict[int, Any] = {}  # columns that share their offsets still do
    return {
        name: _copied(columns[name], copies)
        if _is_writable(columns[name]) and _is_known([columns[name]])  # a variable here would be one more that knows it
        else columns[name]
        for name in columns
    }


def _is_writable(column: Any) -> bool:
    """Whether something of a column can be written to, or could be by who has made it."""
    buffers = [holder._data for holder in _holders(column.layout)] if isinstance(column, ak.Array) else [column]
    return any(
        _is_open(buffer) or (not isinstance(buffer, np.ndarray) and device.is_array(buffer)) for buffer in buffers
    )


def _is_known(parts: list[Any]) -> bool:
    """Whether somebody else has a reference to one of `parts`, or to what they are made of."""
    if not _usual:
        holder = _Holder()
        _usual.extend(_references(_parts(holder)))
    return any(number > _usual[0] for number in _references(parts)) or any(_is_known(_parts(part)) for part in parts)


def _references(parts: list[Any]) -> list[int]:
    return [sys.getrefcount(part) for part in parts]


_usual: list[int] = []
"""References to an object that nobody knows but its holder, as `_references` counts them."""


def _parts(value: Any) -> list[Any]:
    """Return what an array is made of."""
    if isinstance(value, ak.Array):
        return [vars(value)["_layout"]]
    if device.is_array(value):
        return [] if value.base is None else [value.base]
    known = getattr(value, "__dict__", {})
    names = ("_data", "_content", *_INDEXES)
    return [known[name] for name in names if known.get(name) is not None] + list(known.get("_contents") or ())


class _Holder:
    """Holds one object that nobody else knows."""

    def __init__(self) -> None:
        self._data = object()


def _copied(column: Any, copies: dict[int, Any]) -> Any:
    if isinstance(column, ak.Array):
        layout = copy.deepcopy(column.layout, copies)
        for before, after in zip(_holders(column.layout), _holders(layout), strict=True):
            if device.is_normalised(before._data):
                device.mark_normalised(after._data)
        return ak.Array(layout, behavior=column.behavior, attrs=column.attrs)
    return column.copy()


# --- numba ------------------------------------------------------------------------------------------------


def make_numba_views_read_only() -> None:
    """Let ``np.asarray(…)`` of an awkward array in a function that numba compiles be read-only, as it is elsewhere.

    awkward says that it can be written to, whatever the flag of its memory is. Without numba this does nothing.
    """
    if "numba" not in sys.modules or _numba_sealed:
        return
    _numba_sealed.append(True)
    ak.numba.register_and_check()
    from numba.core.typing.templates import builtin_registry

    for function, kind in builtin_registry.globals:
        for template in kind.templates if function is np.asarray else ():
            _make_read_only(template)


_numba_sealed: list[bool] = []


def _make_read_only(template: Any) -> None:
    cells = getattr(template.generic, "__closure__", None) or ()
    if not any("awkward" in getattr(cell.cell_contents, "__module__", "") for cell in cells):
        return
    plain = template.generic

    def generic(self: Any) -> Any:
        typer = plain(self)

        def read_only(arrayview: Any) -> Any:
            found = typer(arrayview)
            return None if found is None else found.copy(readonly=True)

        return read_only

    template.generic = generic
