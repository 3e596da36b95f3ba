"""``hep.lumi_mask``: keep certified luminosity sections of data, and record which sections were read."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator

from fasthep_parsl.errors import OpError
from fasthep_parsl.interfaces import UNKNOWN, Context, Effects, InputFile, OpProblem, Schema
from fasthep_parsl.ops.arrays import np
from fasthep_parsl.ops.declare import op
from fasthep_parsl.ops.lumi_sections import Ranges, Sections, joined, read_sections, united
from fasthep_parsl.ops.stream import Events
from fasthep_parsl.resources.validation import wrong_value

MAX = 1 << 32
"""Runs and sections are smaller."""


@dataclass(frozen=True, slots=True)
class SeenSections:
    """Luminosity sections of the events that an op has received, certified or not.

    Attributes
    ----------
    rows : dict of str to dict
        Dataset → run → ranges of sections.
    events : dict of str to int
        Dataset → number of events.
    """

    rows: dict[str, dict[int, Ranges]] = field(default_factory=dict)
    events: dict[str, int] = field(default_factory=dict)


def merge_seen(a: SeenSections, b: SeenSections) -> SeenSections:
    """Return the sections of both."""
    names = dict.fromkeys((*a.rows, *b.rows))
    rows = {name: united(a.rows.get(name, {}), b.rows.get(name, {})) for name in names}
    return SeenSections(rows, {name: a.events.get(name, 0) + b.events.get(name, 0) for name in names})


def load_sections(path: Path) -> dict[int, Ranges]:
    """Return the sections of a JSON file. It is read once per process, unless it changes.

    Raises
    ------
    ValueError
        It is not a file of luminosity sections.
    """
    stat = path.stat()
    return _load(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=16)
def _load(path: Path, mtime_ns: int, size: int) -> dict[int, Ranges]:
    del mtime_ns, size
    return read_sections(json.loads(path.read_bytes()))


def _valid(path: Path) -> Path:
    if path.is_file():
        try:
            load_sections(path)
        except ValueError as error:
            message = f"`{path.name}` is not a file of certified luminosity sections: {error}"
            raise wrong_value(message, 'expected `{"274968": [[1, 54], [60, 61]], …}`', code="E214") from None
    return path


GoldenFile = Annotated[InputFile, AfterValidator(_valid)]
"""JSON file of certified luminosity sections: run → list of [first, last], both included."""


def _analyse(params: Any, schema: Schema) -> Effects:
    reads = {params.run: ("run",), params.luminosity_block: ("luminosity_block",)}
    problems = [
        OpProblem(path, f"`{name}` has one value per object", "name the branch with one number per event")
        for name, path in reads.items()
        if schema.get(name, ()) not in ((), UNKNOWN)
    ]
    return Effects(reads, {}, tuple(problems))


@op("hep.lumi_mask", analyse=_analyse, product="sections", merge=merge_seen, stream=True)
def lumi_mask(
    events: Events,
    *,
    file: GoldenFile,
    run: str = "run",
    luminosity_block: str = "luminosityBlock",
    context: Context | None = None,
) -> tuple[Events, SeenSections]:
    """Keep the events of data in certified luminosity sections. Simulation passes unchanged.

    At the end of a run, ``results/processed_lumis.json`` has the certified sections that were processed, for brilcalc.
    Let this be the first stage: sections whose events were dropped before are not seen.

    Parameters
    ----------
    file : path
        JSON file of certified sections (run → list of [first, last]). It travels with the run.
    run, luminosity_block : str
        Fields with the numbers of run and section of an event.
    """
    if context is not None and context.dataset.eventtype != "data":
        return events, SeenSections()
    host = events.on_host()
    keys = section_keys(_whole(host[run], run), _whole(host[luminosity_block], luminosity_block))
    blocks = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1]))) if len(keys) else np.zeros(0, np.int64)
    distinct = keys[blocks]  # events of a section usually follow each other
    good = np.repeat(certified(distinct, *_bounds_of(file)), np.diff(blocks, append=len(keys)))
    name = context.dataset.name if context is not None else ""
    return events.filter(good), SeenSections({name: sections_of(distinct)}, {name: len(events)})


def section_keys(runs: Any, sections: Any) -> Any:
    """Return one number per event that orders events by run and section: uint64, shape (events,)."""
    return (runs.astype(np.uint64) << np.uint64(32)) | sections.astype(np.uint64)


def bounds(golden: Sections) -> tuple[Any, Any]:
    """Return the `section_keys` of the first and of the last section of each range, ascending."""
    pairs = [(run << 32 | first, run << 32 | last) for run in sorted(golden) for first, last in golden[run]]
    first, last = np.array(pairs, np.uint64).reshape(-1, 2).T
    return first.copy(), last.copy()


def _bounds_of(path: Path) -> tuple[Any, Any]:
    stat = path.stat()
    return _load_bounds(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=16)
def _load_bounds(path: Path, mtime_ns: int, size: int) -> tuple[Any, Any]:
    return bounds(_load(path, mtime_ns, size))


def certified(keys: Any, first: Any, last: Any) -> Any:
    """Return for each of `section_keys` whether it is in a range of `bounds`: bool, shape (keys,)."""
    if not len(first):
        return np.zeros(len(keys), bool)
    place = np.searchsorted(first, keys, "right")
    return (place > 0) & (keys <= last[np.maximum(place, 1) - 1])


def sections_of(keys: Any) -> dict[int, Ranges]:
    """Return run → ranges of the sections in `section_keys`."""
    keys = np.unique(keys)
    if not len(keys):
        return {}
    apart = (keys[1:] != keys[:-1] + np.uint64(1)) | (keys[1:] >> np.uint64(32) != keys[:-1] >> np.uint64(32))
    begins = np.concatenate(([True], apart))
    firsts, lasts = keys[begins], keys[np.append(begins[1:], True)]
    found: dict[int, list[tuple[int, int]]] = {}
    for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True):
        found.setdefault(first >> 32, []).append((first % MAX, last % MAX))
    return {number: joined(ranges) for number, ranges in found.items()}


def _whole(column: Any, name: str) -> Any:
    """Return a column of whole numbers below 2^32 as int64.

    Raises
    ------
    OpError
        It has other values.
    """
    values = np.asarray(column)
    with np.errstate(invalid="ignore"):  # NaN and infinity differ from what they become
        whole = values.astype(np.int64)
    if values.dtype.kind not in "iu" and not np.array_equal(whole, values):
        raise OpError(f"`{name}` has values that are not whole numbers")
    if len(whole) and not 0 <= int(whole.min()) <= int(whole.max()) < MAX:
        raise OpError(f"`{name}` has a value below 0 or above {MAX - 1}")
    return whole
