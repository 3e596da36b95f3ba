"""Weights of events, the nominal one and its variations, as a table with one row per event or object."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fasthep_parsl.errors import OpError
from fasthep_parsl.interfaces import Context
from fasthep_parsl.ops import device
from fasthep_parsl.ops.arrays import np
from fasthep_parsl.ops.axes import NOMINAL
from fasthep_parsl.ops.columns.value_types import Jagged, Masked, Value, innermost, is_text
from fasthep_parsl.ops.expressions import ExpressionError, expression
from fasthep_parsl.ops.stream import Column, Events
from fasthep_parsl.plan import PlanWeight

TABLE_BYTES = 64 * 2**20
"""Largest table. With more events, weights are filled in several groups."""


@dataclass(frozen=True, slots=True)
class Weight:
    """A weight, nominal or varied.

    Attributes
    ----------
    variation : str
        Category on the axis of variations.
    text : str or None
        Expression; None: each entry has the weight 1.
    renames : tuple of (field, column)
        Columns that the fields of the expression are read from, where they differ.
    """

    variation: str
    text: str | None
    renames: tuple[tuple[str, str], ...] = ()

    def value(self, events: Events, context: Context | None) -> Value:
        """Return the weight of the events.

        Raises
        ------
        OpError
            The expression cannot be computed.
        """
        if self.text is None:
            return 1.0
        fields = _Renamed(events, dict(self.renames)) if self.renames else events
        try:
            return expression(self.text).value(fields, context)
        except ExpressionError as error:
            raise type(error)(f"in `{self.text}`: {error.message}", error.hint) from None

    def columns(self, events: Events) -> tuple[str, ...]:
        """Return the columns that it is computed from."""
        renames = dict(self.renames)
        read = () if self.text is None else sorted(expression(self.text).reads(events))
        return tuple(renames.get(name, name) for name in read)


def nominal_and_varied(text: str | None, weights: Iterable[PlanWeight], dataset: str) -> tuple[Weight, ...]:
    """Return the nominal weight and the variations that apply to a dataset.

    A variation with factors `m`, `n` is the weight ``(text) * (m) * (n)``, from the columns of this variation.
    """
    return (
        Weight(NOMINAL, text),
        *(
            Weight(weight.variation, _product(text, weight.multiply), tuple(sorted(weight.renames.items())))
            for weight in weights
            if weight.datasets is None or dataset in weight.datasets
        ),
    )


def _product(text: str | None, factors: Sequence[str]) -> str | None:
    if not factors:
        return text
    return " * ".join(f"({part})" for part in (*(() if text is None else (text,)), *factors))


class _Renamed(Mapping[str, Column]):
    """Events with some fields taken from other columns."""

    def __init__(self, events: Events, renames: Mapping[str, str]) -> None:
        self._events, self._renames = events, renames

    def __getitem__(self, name: str) -> Column:
        return self._events[self._renames.get(name, name)]

    def __contains__(self, name: object) -> bool:
        return name in self._renames or name in self._events

    def __iter__(self) -> Iterator[str]:
        return iter(self._events)

    def __len__(self) -> int:
        return len(self._events)


def numbers(text: str | None, array: Any) -> Any:
    """Return weights as float64.

    Raises
    ------
    OpError
        They are no numbers.
    """
    if getattr(array, "dtype", None) is not None and array.dtype.kind not in "biuf":
        raise OpError(f"the weight `{text}` is not a number")
    return device.as_float64(array)


@dataclass(frozen=True, slots=True)
class WeightTable:
    """Weights of all entries, in host memory.

    Attributes
    ----------
    rows : array of float64, shape (entries, 2 × weights)
        Weights, then their squares; 0 where a weight is missing, NaN or infinite.
    missing, bad : dict of int to array of bool, shape (entries,)
        Number of a weight → entries where it is missing, or NaN or infinite. Without entry: nowhere.
    """

    rows: Any
    missing: dict[int, Any] = field(default_factory=dict)
    bad: dict[int, Any] = field(default_factory=dict)

    @property
    def width(self) -> int:
        """Number of weights."""
        return int(self.rows.shape[1]) // 2

    def lost_for_all(self) -> Any:
        """Return the entries that no weight can fill, None if there are none."""
        if self.missing.keys() | self.bad.keys() != set(range(self.width)):
            return None
        lost: Any = True
        for number in range(self.width):
            parts = [part[number] for part in (self.missing, self.bad) if number in part]
            lost = lost & device.any_of(parts)
        return lost


def table_of(weights: Sequence[Weight], columns: Sequence[tuple[Any, Any]], number: int) -> WeightTable:
    """Return the table of weights.

    Parameters
    ----------
    weights : sequence of Weight
        The weights.
    columns : sequence of (array or number, mask or None)
        The values of each, and which of them are valid.
    number : int
        Number of entries.
    """
    found = np.empty((len(weights), number))
    missing, bad = {}, {}
    with np.errstate(all="ignore"):
        for k, (weight, (array, valid)) in enumerate(zip(weights, columns, strict=True)):
            row = found[k]
            row[...] = numbers(weight.text, array)
            if valid is not None and not valid.all():
                missing[k] = ~valid
                row[missing[k]] = 0.0
            if not np.isfinite(row.sum()) and not (finite := np.isfinite(row)).all():
                bad[k] = ~finite
                row[bad[k]] = 0.0
        width = len(weights)
        rows = np.empty((number, 2 * width))
        rows[:, :width] = found.T
        np.multiply(rows[:, :width], rows[:, :width], out=rows[:, width:])
    return WeightTable(rows, missing, bad)


def groups(weights: Sequence[Weight], entries: int) -> Iterator[Sequence[Weight]]:
    """Yield weights in groups of which each fits in a table."""
    size = max(1, TABLE_BYTES // max(16 * entries, 1))
    for first in range(0, len(weights), size):
        yield weights[first : first + size]


def event_table(weights: Sequence[Weight], events: Events, context: Context | None) -> WeightTable | None:
    """Return the table of weights per event, None if one of them is per object, or on a GPU.

    The table of a stream is kept as long as the first column that it is computed from: histograms of the same events
    share it.
    """
    names = sorted({name for weight in weights for name in weight.columns(events)})
    columns = [events[name] for name in names]
    if any(map(device.on_gpu, columns)):
        return None
    key = (tuple(weights), tuple(names), context.dataset if context else None)
    known = _tables.get(columns[0]) if columns else None
    if known is not None and known.fits(key, columns[1:]):
        return known.table  # type: ignore[no-any-return]
    values = [weight.value(events, context) for weight in weights]
    if any(isinstance(value, Jagged) or device.on_gpu(innermost(value)) or is_text(value) for value in values):
        return None
    entries = [(value.values, value.valid) if isinstance(value, Masked) else (value, None) for value in values]
    table = table_of(weights, entries, len(events))
    if columns:
        _tables.put(columns[0], _Known(key, tuple(map(weakref.ref, columns[1:])), table))
    return table


@dataclass(frozen=True, slots=True)
class _Known:
    """A table, and what it was made of."""

    key: Any
    columns: tuple[weakref.ref[Any], ...]
    table: WeightTable

    def fits(self, key: Any, columns: Sequence[Any]) -> bool:
        return bool(self.key == key) and all(
            known() is column for known, column in zip(self.columns, columns, strict=True)
        )


_tables = device.WeakArrayDict()
"""First column that a table is computed from → the table."""
