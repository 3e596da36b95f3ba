"""Make columns read-only, because the stages and passes of a task share their memory.

NumPy has a flag for this. The owner of the memory could set the flag again, so ops receive a read-only view of a
read-only owner. CuPy arrays have no such flag: ops of users receive copies of them.
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
"""Attributes of awkward layouts that contain index buffers."""


def read_only(column: Any) -> Any:
    """Return a column in host memory read-only, with its offsets, masks and text."""
    if isinstance(column, np.ndarray):
        return _read_only_view(column)
    if isinstance(column, ak.Array):
        for holder in _holders(column.layout):
            data = holder._data
            if isinstance(data, np.ndarray):
                holder._data = _read_only_view(data)
        return shallow_copy(column)
    return column


def shallow_copy(column: Any) -> Any:
    """Return a shallow copy of records, so that ``array["field"] = …`` does not change the original."""
    return copy.copy(column) if isinstance(column, ak.Array) and column.fields else column


def _read_only_view(array: Any) -> Any:
    if array.base is not None and not _is_writeable(array):
        return array  # the usual case: it was made read-only before
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
        _views.put(array, weakref.ref(view))  # weak: the view keeps its owner alive
    return view


_views = device.WeakArrayDict()
"""Owner → its view, so that columns with the same offsets keep sharing them."""


def _is_writeable(base: Any) -> bool:
    """Whether an array or one of its bases is writeable."""
    return isinstance(base, np.ndarray) and (base.flags.writeable or _is_writeable(base.base))


def _holders(layout: Any) -> list[Any]:
    """Return the indexes and NumpyArrays of an awkward layout: the objects with a buffer ``_data``."""
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


# --- columns given to and returned by ops of users ----------------------------------------------------------


def protect(column: Any, name: str, copies: dict[Any, Any]) -> Any:
    """Return a column for an op of a user: itself in host memory, a copy on a GPU, where nothing is read-only.

    Parameters
    ----------
    column : column
        A column that other stages use too.
    name : str
        Its name.
    copies : dict
        Cache of copies; filled here.
    """
    if not device.on_gpu(column):
        return shallow_copy(column)
    if name not in copies:
        copies[name] = _copy(column, copies)
    return copies[name]


def take_ownership(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return columns made by an op. Copy those whose memory the op may still reference and write to.

    An op may return the same array in each pass and change its content; the columns of earlier passes would change too.
    Read-only memory belongs to other columns and is not copied.
    """
    copies: dict[int, Any] = {}  # keeps shared offsets shared
    return {
        name: _copy(columns[name], copies)
        if _has_writeable_buffer(columns[name])
        and _is_referenced([columns[name]])  # no variable: it would be a reference
        else columns[name]
        for name in columns
    }


def _has_writeable_buffer(column: Any) -> bool:
    """Whether a buffer of a column is writeable, or its base is."""
    buffers = [holder._data for holder in _holders(column.layout)] if isinstance(column, ak.Array) else [column]
    return any(
        _is_writeable(buffer) or (not isinstance(buffer, np.ndarray) and device.is_array(buffer)) for buffer in buffers
    )


def _is_referenced(parts: list[Any]) -> bool:
    """Whether there is another reference to one of `parts`, or to an array inside of them."""
    if not _baseline:
        holder = _Holder()
        _baseline.extend(_references(_parts(holder)))
    return any(n > _baseline[0] for n in _references(parts)) or any(_is_referenced(_parts(part)) for part in parts)


def _references(parts: list[Any]) -> list[int]:
    return [sys.getrefcount(part) for part in parts]


_baseline: list[int] = []
"""Reference count, by `_references`, of an object with a single owner."""


def _parts(value: Any) -> list[Any]:
    """Return the objects that an array refers to: its layout, contents, indexes and base."""
    if isinstance(value, ak.Array):
        return [vars(value)["_layout"]]
    if device.is_array(value):
        return [] if value.base is None else [value.base]
    known = getattr(value, "__dict__", {})
    names = ("_data", "_content", *_INDEXES)
    return [known[name] for name in names if known.get(name) is not None] + list(known.get("_contents") or ())


class _Holder:
    """Owner of an object without other references."""

    def __init__(self) -> None:
        self._data = object()


def _copy(column: Any, copies: dict[int, Any]) -> Any:
    if isinstance(column, ak.Array):
        layout = copy.deepcopy(column.layout, copies)
        for before, after in zip(_holders(column.layout), _holders(layout), strict=True):
            if device.is_normalised(before._data):
                device.mark_normalised(after._data)
        return ak.Array(layout, behavior=column.behavior, attrs=column.attrs)
    return column.copy()


# --- numba ------------------------------------------------------------------------------------------------


def make_numba_views_read_only() -> None:
    """Make ``np.asarray(…)`` of an awkward array read-only in functions that Numba compiles.

    awkward declares it writeable, whatever the flag of its memory is. Does nothing if Numba is not imported.
    """
    if "numba" not in sys.modules or _numba_patched:
        return
    _numba_patched.append(True)
    ak.numba.register_and_check()
    from numba.core.typing.templates import builtin_registry

    for function, kind in builtin_registry.globals:
        for template in kind.templates if function is np.asarray else ():
            _make_read_only(template)


_numba_patched: list[bool] = []


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
