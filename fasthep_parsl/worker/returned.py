"""Return values of ops: split into stream and product, or refused with a message that shows what to return."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fasthep_parsl.errors import OpError
from fasthep_parsl.interfaces import Op
from fasthep_parsl.ops import device
from fasthep_parsl.ops.arrays import ak, np
from fasthep_parsl.ops.columns.read_only import take_ownership
from fasthep_parsl.ops.stream import Events
from fasthep_parsl.plan import PlanStage


def split(op: Op, stage: PlanStage, events: Any, result: Any) -> tuple[Events | None, Any]:
    """Split the return value of an op into stream and product.

    Raises
    ------
    OpError
        The value is not what the op declares.
    """
    if not op.stream:
        return None, _product(op, result)
    if not op.product:
        return _stream(op, stage, events, result), None
    if not isinstance(result, tuple) or len(result) != 2:
        raise OpError(f"op `{op.name}` returned {_shown(result)}: return (events, {op.product})")
    return _stream(op, stage, events, result[0]), _product(op, result[1])


def _product(op: Op, product: Any) -> Any:
    if product is None and op.merge is not None:
        raise OpError(f"op `{op.name}` returned None: return the product `{op.product}` that it declares")
    return product


def _stream(op: Op, stage: PlanStage, events: Events, result: Any) -> Events:
    if isinstance(result, Events):
        stream = result
    elif isinstance(result, Mapping):
        stream = _with_new(op, stage, events, result)
    elif isinstance(result, ak.Array) and result.fields:
        columns = {name: _column(op, name, result[name]) for name in result.fields}
        stream = Events(take_ownership(columns), len(result))
    else:
        new = ", ".join(f'"{name}": …' for name in stage.writes) or '"name": …'
        hint = f"return a dict of columns, {{{new}}}, or events, as in `return events[mask]`"
        raise OpError(f"op `{op.name}` returned {_shown(result)}: {hint}")
    if (op.keeps_events or stage.outputs) and len(stream) != len(events):
        hint = "remove keeps_events=True from @op(…), or return all events"
        raise OpError(f"op `{op.name}` keeps all events, but returned {len(stream)} of {len(events)}: {hint}")
    missing = [name for name in stage.writes if name not in stream]
    if (
        missing and not op.built_in
    ):  # built-in ops add what they find: it may differ between datasets  # a later stage would report the wrong op
        names = "`, `".join(missing)
        raise OpError(f"op `{op.name}` declares that it writes `{names}`, but did not return it")
    return stream


def _with_new(op: Op, stage: PlanStage, events: Events, result: Mapping[Any, Any]) -> Events:
    """Return events with the returned columns. Columns of built-in ops are not checked."""
    if op.built_in:
        return events.with_columns(result, fresh=True)
    for name in result:
        if not isinstance(name, str):
            raise OpError(f"op `{op.name}` returned a dict with the key {name!r}: keys are names of fields")
        if name in events and name not in stage.writes:
            hint = f'declare it, writes=[…, "{name}"], or return it under another name'
            raise OpError(f"op `{op.name}` returned another `{name}`, which it does not declare to write: {hint}")
    columns = {name: _column(op, name, column) for name, column in result.items()}
    for name, column in columns.items():
        if len(column) != len(events):
            hint = "a column has one entry per event; to drop events return events[mask]"
            raise OpError(f"op `{op.name}` returned {len(column)} entries of `{name}` for {len(events)} events: {hint}")
    return events.with_columns(take_ownership(columns), fresh=True)


def _column(op: Op, name: str, column: Any) -> Any:
    """Return a column as array of NumPy, CuPy or awkward."""
    if isinstance(column, np.ma.MaskedArray):
        column = ak.from_numpy(column)
    elif not isinstance(column, ak.Array) and not device.is_array(column) and hasattr(column, "__array__"):
        column = np.asarray(column)  # for example a pandas series
    if isinstance(column, list | tuple):
        column = _of_list(op, name, column)
    if not isinstance(column, ak.Array) and not device.is_array(column):
        raise OpError(f"op `{op.name}` returned {_shown(column)} as `{name}`: a column is an array of NumPy or awkward")
    if device.is_array(column) and (not column.ndim or column.dtype.kind in "OV"):
        what = f"an array of {column.dtype}" if column.ndim else "a single value"
        raise OpError(f"op `{op.name}` returned {what} as `{name}`: a column has one number, bool or text per event")
    return column


def _of_list(op: Op, name: str, column: Any) -> Any:
    try:
        found = ak.from_iter(column)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        reason = str(error).splitlines()[0]
        raise OpError(f"op `{op.name}` returned a list as `{name}` that is not a column: {reason}") from None
    return found.layout.data if isinstance(found.layout, ak.contents.NumpyArray) else found


def _shown(value: Any) -> str:
    """Return a short description of a value."""
    if value is None:
        return "None"
    if isinstance(value, ak.Array):
        return f"a bare array ({value.type})"
    if device.is_array(value) and value.ndim:
        return f"a bare array (of shape {value.shape})"
    kind = type(value).__name__
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
