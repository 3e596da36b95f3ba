"""An op beside a loop over events: what is shared by all ops.

Results are compared as plain Python: field → one entry per event, ``#table`` → rows of a cutflow, ``#bins`` → content,
``#seen`` → luminosity sections.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import awkward as ak
import numpy as np

from fasthep_parsl.errors import OpError
from fasthep_parsl.interfaces import Context, DatasetInfo
from fasthep_parsl.ops.stream import Events
from fuzz.columns import column
from fuzz.expressions import same
from fuzz.values import Field, Refused, TooWide, Unclear

Fields = Mapping[str, Field]
Result = dict[str, Any]
Outcome = tuple[str, Any]


@dataclass(frozen=True)
class OpCase:
    """An op with its parameters, events, and the loop that says what is right.

    Attributes
    ----------
    op : callable
        A built-in op.
    params : dict
        As in a workflow.
    fields : mapping of str to Field
        The events; ``id`` numbers them.
    loop : callable
        ``loop(fields, number of events)`` → the right result; raises `Refused`.
    add : callable
        Joins the results of two parts.
    tolerance : float
        Relative, of floats.
    eventtype : str
        Of the dataset.
    """

    op: Any
    params: dict[str, Any]
    fields: Fields
    events: int
    loop: Callable[[Fields, int], Result]
    tolerance: float = 1e-9
    eventtype: str = "mc"

    def at(self, positions: list[int]) -> OpCase:
        """Return the case with only some of its events."""
        fields = {
            name: replace(field, data=tuple(field.data[i] for i in positions)) for name, field in self.fields.items()
        }
        return replace(self, fields=fields, events=len(positions))


def context(eventtype: str = "mc") -> Context:
    dataset = DatasetInfo("ds", eventtype=eventtype)
    return Context("S", dataset, (dataset, DatasetInfo("other")), "ds-0", Path())


def events_of(case: OpCase) -> Events:
    return Events({name: column(field) for name, field in case.fields.items()}, case.events)


def expected(case: OpCase) -> Outcome:
    try:
        return "values", case.loop(case.fields, case.events)
    except TooWide:
        raise Unclear("where a value that does not fit is looked at first") from None
    except Refused as error:
        return "refused", str(error)


def seen(case: OpCase, events: Events | None = None) -> Outcome:
    """Return what the op yields, as plain Python."""
    op = case.op.op
    events = events_of(case) if events is None else events
    try:
        values = op.params(**case.params)
        given = op.keywords(values)
        if op.takes_context:
            given["context"] = context(case.eventtype)
        return "values", plain(op.call(events, **given))
    except OpError as error:
        return "refused", str(error)
    except Exception as error:  # noqa: BLE001 - whatever it is, users see it
        return "wrong", f"{type(error).__name__}: {str(error)[:300]}"


def plain(result: Any) -> Result:
    """Return columns, cutflows and histograms as plain Python."""
    from fasthep_parsl.ops.lumi_mask import SeenSections
    from fasthep_parsl.ops.products import Cutflow, Histogram
    from fasthep_parsl.ops.weight_sums import WeightSums

    found: Result = {}
    for part in result if isinstance(result, tuple) else (result,):
        if isinstance(part, Cutflow):
            found["#table"] = [_row(row) for row in part.rows.get("ds", ())]
            found["#nan"] = part.nan
        elif isinstance(part, Histogram):
            found |= bins(part)
        elif isinstance(part, SeenSections):
            found |= {"#seen": _sections(part.rows.get("ds", {})), "#read": part.events.get("ds", 0)}
        elif isinstance(part, WeightSums):
            row = part.rows["ds"]
            found |= {"#events": row.events, "#sum": row.high + row.low, "#square": row.square, "#nan": row.nan}
        else:
            found |= {name: ak.to_list(_home(part[name])) for name in part}
    return found


def _home(value: Any) -> Any:
    from fasthep_parsl.ops import device

    if isinstance(value, ak.Array):
        return ak.to_backend(value, "cpu") if device.on_gpu(value) else value
    return device.download(value) if device.on_gpu(value) else np.asarray(value)


def _sections(rows: Any) -> list[tuple[int, int]]:
    return [(run, n) for run, ranges in sorted(rows.items()) for first, last in ranges for n in range(first, last + 1)]


def _row(row: Any) -> list[Any]:
    return [row.selection, row.label, row.n_in, row.n_out, row.sumw_in, row.sumw_out, row.sumw2_in, row.sumw2_out]


def bins(histogram: Any) -> Result:
    """Return the filled bins of a histogram, by the names or numbers of their bins; flow is ``under`` and ``over``."""
    view = np.asarray(histogram.hist.view(flow=True))
    names = [_names(axis) for axis in histogram.hist.axes]
    found = {}
    for place in np.ndindex(view.shape):
        content = view[place]
        pair = (float(content["value"]), float(content["variance"])) if view.dtype.names else (float(content),)
        if any(pair):
            found[tuple(its[i] for its, i in zip(names, place, strict=True))] = pair
    return {"#bins": found, "#none": histogram.none, "#nan": histogram.nan}


def _names(axis: Any) -> list[Any]:
    inner = list(axis) if type(axis).__name__ in ("StrCategory", "IntCategory") else list(range(len(axis)))
    under = ["under"] if axis.traits.underflow else []
    return [*under, *inner, *(["over"] if axis.traits.overflow else [])]


def joined(parts: list[Outcome]) -> Outcome:
    """Return the results of adjacent parts as one."""
    total: Result | None = None
    for state, found in parts:
        if state != "values":
            return state, found
        total = found if total is None else _add(total, found)
    return "values", total


def _add(a: Result, b: Result) -> Result:
    if "#bins" in a:
        filled = {key: tuple(x + y for x, y in zip(a["#bins"].get(key, (0.0, 0.0)), pair, strict=False))
                  for key, pair in b["#bins"].items()}  # fmt: skip
        return {"#bins": {**a["#bins"], **filled}, "#none": a["#none"] + b["#none"], "#nan": a["#nan"] + b["#nan"]}
    found: Result = {}
    for name in a:
        if name == "#table":
            found[name] = [
                [*x[:2], *(p + q for p, q in zip(x[2:], y[2:], strict=True))]
                for x, y in zip(a[name], b[name], strict=True)
            ]
        elif name == "#seen":
            found[name] = sorted({*a[name], *b[name]})
        else:
            found[name] = a[name] + b[name]
    return found


def difference(a: Outcome, b: Outcome, tolerance: float) -> str:
    """Return how what is seen differs from what is expected, or nothing."""
    if "wrong" in (a[0], b[0]) or a[0] != b[0]:
        return f"{a} / {b}"
    if a[0] == "refused":
        return ""
    for name in {**a[1], **b[1]}:
        if name not in a[1] or name not in b[1]:
            return f"{name} is in one of them only: {sorted(a[1])} / {sorted(b[1])}"
        x, y = a[1][name], b[1][name]
        if isinstance(x, dict):
            keys = sorted({*x, *y}, key=str)
            x, y = ([[key, *its.get(key, ("nothing",))] for key in keys] for its in (x, y))
        if not same(x, y, tolerance):
            return f"{name}: {x} / {y}"
    return ""


# --- the checks -------------------------------------------------------------------------------------------


def against_loop(case: OpCase) -> str:
    return difference(seen(case), expected(case), case.tolerance)


def in_parts(case: OpCase, random: Random) -> str:
    edges = sorted([0, case.events, *(random.randint(0, case.events) for _ in range(2))])
    parts = [seen(case.at(list(range(low, high)))) for low, high in pairwise(edges)]
    whole = seen(case)
    if whole[0] == "refused" and any(state == "refused" for state, _ in parts):
        return ""
    return difference(joined(parts), whole, case.tolerance)


def after_filter(case: OpCase, random: Random) -> str:
    """Filtered events, of which columns are taken when they are used, are worth what events without the others are."""
    kept = [i for i in range(case.events) if random.random() < 0.6]
    mask = np.zeros(case.events, dtype=bool)
    mask[kept] = True
    return difference(seen(case, events_of(case).filter(mask)), seen(case.at(kept)), case.tolerance)


def through_store(case: OpCase, _random: Random) -> str:
    """Events that crossed to another pool are worth what they were."""
    from fasthep_parsl.worker.store import load_events, save_events

    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    try:
        events = Events(
            {name: column(field) for name, field in case.fields.items()}, case.events, np.zeros(case.events, int)
        )
        ref = save_events(folder / "x.npz", events, 0, [(0, 1)])
        return difference(seen(case, load_events(ref, list(case.fields))), seen(case), 0.0)
    finally:
        shutil.rmtree(folder)


def on_stand_in(case: OpCase, _random: Random) -> str:
    """The op on the stand-in for CuPy, where it can be computed there."""
    import fake_cupy
    from fasthep_parsl.ops.columns.value_types import FOREIGN, MissingError

    with fake_cupy.installed(), fake_cupy.kernels_in_python():
        op = case.op.op
        try:
            values = op.params(**case.params)
            given = op.keywords(values)
            if op.takes_context:
                given["context"] = context(case.eventtype)
            there: Outcome = ("values", plain(op.call(events_of(case).on_gpu(case.fields), **given)))
        except MissingError:
            return ""
        except OpError as error:
            there = ("refused", str(error))
        except FOREIGN:  # `gpu.preload` says so, and calls the op on the CPU where it may
            return ""
    return difference(there, seen(case), case.tolerance)


CHECKS: dict[str, Callable[[OpCase, Random], str]] = {
    "against the loop": lambda case, _: against_loop(case),
    "in parts": in_parts,
    "after a filter": after_filter,
    "through a store": through_store,
    "on the stand-in for CuPy": on_stand_in,
}


def try_case(case: OpCase, seed: str, share: float) -> str:
    """Return how a case differs in one of the checks; those but the first are made for a `share` of cases."""
    random = Random(seed)
    for name, check in CHECKS.items():
        if name != "against the loop" and random.random() > share:
            continue
        again = partial(_checked, check, f"{seed}-{name}")
        if again(case):
            least = _fewer_events(case, again)
            lines = [f"  {n}: {f.dtype} ({f.structure}) {list(f.data)}" for n, f in least.fields.items()]
            what = f"{least.op.op.name} {least.params}"
            return "\n".join([f"seed {seed}, {name}:", what, *lines, f"seen / expected: {again(least)}"])
    return ""


def _checked(check: Callable[[OpCase, Random], str], seed: str, case: OpCase) -> str:
    return check(case, Random(seed))


def _fewer_events(case: OpCase, fails: Callable[[OpCase], str]) -> OpCase:
    event = 0
    while event < case.events:
        less = case.at([i for i in range(case.events) if i != event])
        try:
            smaller = bool(fails(less))
        except Unclear:
            smaller = False
        if smaller:
            case = less
        else:
            event += 1
    return case
