"""Calls of users' ops: an op sees only the fields that it declares, and cannot write to columns that others use."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from fasthep_parsl.errors import OpError
from fasthep_parsl.interfaces import Op
from fasthep_parsl.ops.columns.read_only import make_numba_views_read_only, read_only
from fasthep_parsl.ops.stream import Events

_CLOSED = ("read-only", "readonly array", "WRITEABLE", "contiguous and writable")
"""Texts in errors of NumPy, numba and kernels about read-only memory."""


def guarded(op: Op, reads: Iterable[str]) -> Callable[..., Any]:
    """Return a function that calls an op with only the fields `reads` (``"*"``: all)."""
    names = frozenset(reads)

    def call(events: Any, **params: Any) -> Any:
        make_numba_views_read_only()
        if "*" not in names:
            events = _seen(events, op.name, names)
        try:
            result = op.call(events, **params)
        except Exception as error:
            if isinstance(error, OSError) or not any(word in str(error) for word in _CLOSED):
                raise
            reason = str(error).strip().splitlines()[0]
            hint = "copy it first, as in `x = events.x.copy()`, `ak.to_numpy(…).copy()`"
            message = f"op `{op.name}` writes to a column or product that other ops use: {hint} ({reason})"
            raise OpError(message).with_traceback(error.__traceback__) from error
        return tuple(map(_whole, result)) if isinstance(result, tuple) else _whole(result)

    return call


def _seen(events: Any, op: str, names: frozenset[str]) -> Any:
    return events.declared(op, names) if isinstance(events, Events) else _Chunks(events, op, names)


def _whole(result: Any) -> Any:
    return result.whole() if isinstance(result, Events) else result


class _Chunks:
    """Chunks of a stream, for an op that reads a whole dataset."""

    def __init__(self, chunks: Iterable[Any], op: str, names: frozenset[str]) -> None:
        self._chunks, self._op, self._names = chunks, op, names

    def __iter__(self) -> Iterator[Any]:
        return (_seen(chunk, self._op, self._names) for chunk in self._chunks)


def closed(product: Any) -> Any:
    """Return a product with read-only arrays: other calls receive it, too."""
    read_only(product)
    parts = product.values() if isinstance(product, Mapping) else product if isinstance(product, list | tuple) else ()
    for part in parts:
        closed(part)
    return product


class ReadOnlyDict(dict[str, Any]):
    """A read-only dict, for values that all calls share."""

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise TypeError("this dict is read-only: dict(…) makes a copy")

    __setitem__ = __delitem__ = __ior__ = update = pop = popitem = clear = setdefault = _refuse

    def __reduce__(self) -> Any:
        return dict, (dict(self),)


def unchanging(value: Any) -> Any:
    """Return a value with read-only mappings and copied lists."""
    if isinstance(value, Mapping):
        return ReadOnlyDict({key: unchanging(item) for key, item in value.items()})
    return [unchanging(item) for item in value] if isinstance(value, list) else value


def place_of(op: Op) -> str:
    """Return ``file:line`` of the definition of a user's op; empty for ops of this package."""
    code = getattr(inspect.unwrap(op.call), "__code__", None)
    return "" if op.built_in or code is None else f"{Path(code.co_filename).name}:{code.co_firstlineno}"
