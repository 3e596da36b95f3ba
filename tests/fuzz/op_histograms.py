"""``hep.hist`` against a loop over single entries."""

from __future__ import annotations

import math
from random import Random
from typing import Any

from fasthep_parsl.ops.histogram import histogram
from fuzz.columns import DEPTHS, Make
from fuzz.op_cases import Fields, OpCase, Result
from fuzz.values import Field, Refused

TOP = 2**31 - 1
EDGES = ([0, 1, 2.5, 4], [-3, 0.1, 0.7, 3], [-math.inf, 0, 2, math.inf], [0, 1e3], [-200, -1, 0, 127, 128, 256])


def random_axis(random: Random, name: str, dtype: str) -> dict[str, Any]:
    axis: dict[str, Any] = {"name": f"axis_{name}", "source": name}
    if dtype == "text":
        return axis | random.choice(
            [{"type": "category"}, {"bins": ["ee", "mm"]}, {"type": "category", "bins": ["em"]}]
        )
    kinds = ["regular", "variable", "category", "labels", "int", "ints", "grow"] + (
        ["bool"] * 5 if dtype == "bool" else []
    )
    kind = random.choice(kinds)
    if kind == "regular":
        low = random.choice([-3, 0, -0.5])
        return axis | {
            "bins": {"nbins": random.choice([1, 3, 7]), "low": low, "high": low + random.choice([1, 5, 6.5])}
        }
    if kind == "variable":
        return axis | {"bins": random.choice(EDGES)}
    if kind == "int":
        low = random.choice([-2, 0, 3, -TOP, TOP - 5])
        return axis | {"type": "int", "bins": {"low": low, "high": low + 4}}
    if kind == "bool":
        return axis | {"type": "bool"}
    return (
        axis
        | {
            "category": {"type": "category"},
            "labels": {"type": "category", "bins": [1, 2, 5, -1]},
            "ints": {"type": "int", "bins": [3, 0, -2]},
            "grow": {"type": "int"},
        }[kind]
    )


def _bin(axis: dict[str, Any], x: Any, dtype: str) -> Any:
    """Return the bin of one entry; None where NaN is not filled; raises `Refused`."""
    kind, bins = axis.get("type"), axis.get("bins")
    if isinstance(bins, dict) and kind is None:
        low, high, number = float(bins["low"]), float(bins["high"]), bins["nbins"]
        z = (float(x) - low) / (high - low)
        return "over" if not z < 1 else "under" if z < 0 else int(z * number)
    if isinstance(bins, list) and kind is None and not isinstance(bins[0], str):
        if not x < bins[-1]:  # NaN as well
            return "over"
        return "under" if x < bins[0] else max(i for i, edge in enumerate(bins) if x >= edge)
    if x != x:
        return None
    if kind == "int" and isinstance(bins, dict):
        low, high = bins["low"], bins["high"]
        return "under" if x < low else "over" if x >= high else math.floor(x) - low
    if kind == "bool":
        return int(x) if x in (0, 1) else "over"
    if kind == "int" or (kind == "category" and bins and not isinstance(bins[0], str)):
        if bins is None and not -TOP - 1 <= x <= TOP:
            raise Refused("beyond what an int axis takes")
        whole = math.floor(x) if math.isfinite(x) else x
        return whole if bins is None or whole in bins else "over"
    text = x if isinstance(x, str) else _text(x, dtype)
    return text if not bins or text in bins else "over"


def _text(x: Any, dtype: str) -> str:
    import numpy as np

    return str(np.dtype(dtype).type(x))


DTYPES = ("int8", "uint8", "int16", "uint32", "int32", "int64", "uint64", "float32", "float64", "bool")


def _sources(random: Random, make: Make, shared: str) -> dict[str, Field]:
    """Return one to three fields that can be filled together."""
    fields = {}
    for _ in range(random.randint(1, 3)):
        structure, dtype = random.choice([shared, "E", "O", shared]), random.choice(DTYPES)
        if random.random() < 0.1:
            structure, dtype = "S", "text"
        fields[f"{structure}_{dtype}"] = make.field(structure, dtype)
    return fields


def _weight(random: Random, make: Make, shared: str) -> Field | None:
    kind = random.choice(["", "", "", "event", "event", "object"])
    if kind == "event":
        return make.field(random.choice("EO"), random.choice(["float32", "float64", "uint8", "bool"]))
    return make.field("K" if shared == "K" else "J", "float64") if kind else None


def hist_case(random: Random) -> OpCase:
    number = random.choice([0, 1, 3, 8])
    make = Make(random, number)
    shared = random.choice("EEJJKO")
    fields = _sources(random, make, shared)
    axes = [random_axis(random, name, field.dtype) for name, field in fields.items()]
    params: dict[str, Any] = {"axes": axes}
    weight = random.choice(["", "2.5"])
    found = _weight(random, make, shared)
    if found is not None:
        weight, fields["w"] = "w", found
    if weight:
        params["weight_expr"] = weight
    elif random.random() < 0.3:
        params["storage"] = random.choice(["double", "weighted"])
    with_dataset = random.random() < 0.3
    if with_dataset:
        params["dataset_axis"] = True
    single = weight == "" and params.get("storage") != "weighted"

    def loop(fields: Fields, number: int) -> Result:
        return fill(axes, weight, fields, number, single=single, end=("ds",) if with_dataset else ())

    return OpCase(histogram, params, fields, number, loop)


def fill(
    axes: list[dict[str, Any]], weight: str, fields: Fields, number: int, *, single: bool, end: tuple[str, ...] = ()
) -> Result:
    """Return what is filled: bins, with `end` behind the places on `axes`, of one sum (`single`) or a sum and its variance."""
    sources = [axis["source"] for axis in axes]
    read = [*sources, *([weight] if weight in fields else [])]
    lists = [name for name in read if DEPTHS[fields[name].structure]]
    if lists and all(name not in sources for name in lists):
        raise Refused("a weight per object, axes per event")
    filled: dict[tuple[Any, ...], list[float]] = {}
    none = nan = 0
    for event in range(number):
        first = fields[lists[0]].data[event] if lists else (None,)
        if first is None:  # a missing list
            none += 1
            continue
        for i in range(len(first)):
            x = {name: fields[name].data[event][i] if name in lists else fields[name].data[event] for name in read}
            if any(value is None for value in x.values()):
                none += 1
                continue
            w = float(x[weight]) if weight in fields else float(weight or 1)
            lost = [axis for axis in axes if x[axis["source"]] != x[axis["source"]]]
            there = all(_bin(axis, math.nan, "float64") is not None for axis in lost)
            nan += bool(lost) or (there and not math.isfinite(w))
            if there and math.isfinite(w):
                places = [_bin(axis, x[axis["source"]], fields[axis["source"]].dtype) for axis in axes]
                cell = filled.setdefault((*places, *end), [0.0, 0.0])
                cell[0] += w
                cell[1] += w * w
    sums = 1 if single else 2
    return {
        "#bins": {key: tuple(cell[:sums]) for key, cell in filled.items() if any(cell[:sums])},
        "#none": none,
        "#nan": nan,
    }
