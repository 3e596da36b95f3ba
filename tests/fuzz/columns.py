"""Random events: the same values as plain Python, for the oracle, and as the columns that a file would give."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random
from typing import Any

import awkward as ak
import numpy as np

from fuzz.values import Field

INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
DTYPES = (*INTEGERS, "bool", "float16", "float32", "float64")
SHAPES: dict[str, tuple[str, ...]] = {
    "E": (), "O": (), "S": (), "J": ("nJ",), "M": ("nM",), "K": ("nK",), "L": ("nL",), "D": ("nD", "*"), "R": ("*",),
}  # fmt: skip
"""Structure → what the plan knows: per event, with missing ones, text; lists, with missing items, nullable lists; lists of
lists, arrays of three."""
DEPTHS = {"E": 0, "O": 0, "S": 0, "J": 1, "M": 1, "K": 1, "L": 1, "D": 2, "R": 1}
FORBIDDEN = {"float16": ("J", "M", "K", "L", "D")}
"""Types that no file has in these structures."""


def kind_of(dtype: str) -> str:
    """Return the kind in which values of a type are computed."""
    if dtype == "text":
        return "s"
    return {"b": "b", "i": "i", "u": "i"}.get(np.dtype(dtype).kind, "f" if dtype == "float32" else "d")


def number(random: Random, dtype: str, wild: float) -> Any:
    """Return a number of a type: mostly small, sometimes (`wild`) at the limits of the type."""
    if dtype == "bool":
        return random.random() < 0.5
    if dtype == "text":
        return random.choice(["ee", "mm", "em", ""])
    if dtype in INTEGERS:
        limits = np.iinfo(dtype)
        if random.random() < wild:
            return random.choice([int(limits.min), int(limits.max), int(limits.max) - 1, int(limits.max) // 2 + 1])
        return random.randint(max(-5, int(limits.min)), 6)
    if random.random() < wild:
        value = random.choice([math.nan, math.inf, -math.inf, -0.0, 1e4, 2.0**24 + 2, 1e-5, 3e38, 0.1])
    else:
        value = random.choice([random.randint(-6, 6), random.randint(-12, 12) / 4, round(random.uniform(-4, 4), 2)])
    with np.errstate(over="ignore"):
        return float(np.dtype(dtype).type(value))


class Make:
    """Makes the fields of one set of events; the lists of a structure have equal lengths in all of them."""

    def __init__(self, random: Random, events: int) -> None:
        self.random = random
        self.events = events
        self.wild = random.choice([0.0, 0.05, 0.3])
        most = random.choice([0, 1, 2, 4])
        self.counts = {s: [random.randint(0, most) for _ in range(events)] for s in "JMKLD"}
        self.counts["R"] = [3] * events
        self.inner = [[random.randint(0, 2) for _ in range(n)] for n in self.counts["D"]]
        self.gone = [random.random() < 0.3 for _ in range(events)]
        self.hole = random.choice([0.0, 0.3, 1.0])

    def field(self, structure: str, dtype: str) -> Field:
        """Return a new field."""
        make = lambda: number(self.random, dtype, self.wild)
        hole = lambda: None if self.random.random() < self.hole else make()
        rows: list[Any]
        if structure in "ES":
            rows = [make() for _ in range(self.events)]
        elif structure == "O":
            rows = [hole() for _ in range(self.events)]
        elif structure == "D":
            rows = [tuple(tuple(make() for _ in range(n)) for n in inner) for inner in self.inner]
        else:
            item = hole if structure == "K" else make
            rows = [tuple(item() for _ in range(n)) for n in self.counts[structure]]
            if structure == "L":
                rows = [None if gone else row for gone, row in zip(self.gone, rows, strict=True)]
        return Field(kind_of(dtype), DEPTHS[structure], tuple(rows), dtype, structure)


def column(field: Field) -> Any:
    """Return a field as the column that a reader gives: numpy per event, else awkward."""
    return _column(field.data, field.dtype, field.structure)


def _column(rows: Sequence[Any], dtype: str, structure: str) -> Any:
    if structure == "S":
        return ak.Array([*rows, "x"])[:-1]
    if structure == "E":
        return np.array(rows, dtype=dtype)
    if structure == "R":
        return np.array(rows, dtype=dtype).reshape(len(rows), 3)
    if structure == "O":
        return ak.Array(_option(rows, dtype))
    if structure == "L":
        lists = [row or () for row in rows]
        mask = ak.index.Index8(np.array([row is None for row in rows], dtype=np.int8))
        return ak.Array(ak.contents.ByteMaskedArray(mask, _lists(lists, dtype), valid_when=False))
    if structure == "D":
        outer = ak.index.Index64(np.cumsum([0, *map(len, rows)]))
        return ak.Array(ak.contents.ListOffsetArray(outer, _lists([inner for row in rows for inner in row], dtype)))
    return ak.Array(_lists(rows, dtype))


def _lists(rows: Sequence[Any], dtype: str) -> Any:
    flat = [x for row in rows for x in row]
    offsets = ak.index.Index64(np.cumsum([0, *map(len, rows)], dtype=np.int64))
    return ak.contents.ListOffsetArray(offsets, _option(flat, dtype) if None in flat else _numbers(flat, dtype))


def _numbers(flat: Sequence[Any], dtype: str) -> Any:
    return ak.contents.NumpyArray(np.array(flat, dtype=dtype))


def _option(flat: Sequence[Any], dtype: str) -> Any:
    there = np.array([x is not None for x in flat], dtype=bool)
    index = np.where(there, np.cumsum(there) - 1, -1).astype(np.int64)
    return ak.contents.IndexedOptionArray(ak.index.Index64(index), _numbers([x for x in flat if x is not None], dtype))
