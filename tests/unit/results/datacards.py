"""A strict reader of Combine's datacards, written from *Preparing the datacard* in Combine's documentation.

Combine itself is part of CMS's software and cannot run here. This reader refuses whatever that page does not describe.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import uproot

NAME = re.compile(r"[\w.-]+")


class DatacardError(AssertionError):
    """The datacard is not as the documentation describes."""


def require(condition, message):
    if not condition:
        raise DatacardError(message)


@dataclass
class Datacard:
    """The content of a datacard and its histograms.

    `rates` is (channel, process) → rate; `numbers` process → number; `effects` nuisance → (type, (channel, process) →
    text, without those that have no effect); `shapes` name → histogram.
    """

    observations: dict = field(default_factory=dict)
    rates: dict = field(default_factory=dict)
    numbers: dict = field(default_factory=dict)
    effects: dict = field(default_factory=dict)
    statistics: list = field(default_factory=list)
    shapes: dict = field(default_factory=dict)


def read_datacard(path):
    """Return a datacard. Raise `DatacardError` if anything is not as documented."""
    text = Path(path).read_text()
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    lines = [line for line in lines if set(line.strip()) != {"-"}]
    rows = [line.split() for line in lines]
    counts = {}
    for key in ("imax", "jmax", "kmax"):
        row = rows.pop(0)
        require(row[0] == key and row[1].isdecimal(), f"expected `{key} <number>`, got {row}")
        counts[key] = int(row[1])
    mapping = rows.pop(0)
    require(mapping[:3] == ["shapes", "*", "*"] and len(mapping) == 6, f"one line of shapes for all: {mapping}")
    card = Datacard()
    bins, observed = rows.pop(0), rows.pop(0)
    require(bins[0] == "bin" and observed[0] == "observation" and len(bins) == len(observed), "bin, observation")
    require(len(set(bins[1:])) == len(bins) - 1 == counts["imax"], "imax is the number of channels")
    card.observations = {name: float(value) for name, value in zip(bins[1:], observed[1:], strict=True)}
    columns = _columns(rows, card, counts)
    _effects(rows, card, counts, columns)
    _shapes(Path(path).parent / mapping[3], mapping[4:], card)
    return card


def _columns(rows, card, counts):
    bins, names, numbers, rates = (rows.pop(0) for _ in range(4))
    for row, key in ((bins, "bin"), (names, "process"), (numbers, "process"), (rates, "rate")):
        require(row[0] == key and len(row) == len(bins), f"expected {len(bins)} columns of `{key}`: {row}")
    columns = list(zip(bins[1:], names[1:], strict=True))
    require(len(set(columns)) == len(columns), "a process is twice in a channel")
    require({channel for channel, _ in columns} == set(card.observations), "a channel without observation or process")
    require(all(NAME.fullmatch(name) for name in (*names, *bins)), "names")
    for name, number in zip(names[1:], numbers[1:], strict=True):
        require(card.numbers.setdefault(name, int(number)) == int(number), f"two numbers for {name}")
    require(len(set(card.numbers.values())) == len(card.numbers) == counts["jmax"] + 1, "jmax: processes minus 1")
    require(any(number <= 0 for number in card.numbers.values()), "no signal: a process with a number up to 0")
    order = list(card.observations)
    places = [(order.index(channel), card.numbers[name]) for channel, name in columns]
    require(places == sorted(places), "channels in order, and processes in increasing order within each")
    card.rates = dict(zip(columns, map(float, rates[1:]), strict=True))
    return columns


def _effects(rows, card, counts, columns):
    for row in rows:
        if row[1] == "autoMCStats":
            require(row[0] in {"*", *card.observations} and float(row[2]) >= 0 and len(row) <= 5, f"autoMCStats: {row}")
            card.statistics.append(row)
            continue
        name, kind, *values = row
        require(name not in card.effects, f"{name} is twice")
        require(kind in {"lnN", "shape"} and len(values) == len(columns), f"{name}: {kind}, {len(values)} columns")
        found = {column: value for column, value in zip(columns, values, strict=True) if value != "-"}
        require(all(float(value) > 0 for value in found.values()), f"{name}: {values}")
        require(found, f"{name} has no effect")
        card.effects[name] = (kind, found)
    require(len(card.effects) == counts["kmax"], f"kmax {counts['kmax']}, but {len(card.effects)} nuisances")


def _shapes(path, patterns, card):
    with uproot.open(path) as file:
        keys = {key.split(";")[0] for key in file.iterkeys(recursive=True, filter_classname="TH1*")}
        card.shapes = {key: file[key] for key in keys}
    wanted = {patterns[0].replace("$CHANNEL", channel).replace("$PROCESS", "data_obs") for channel in card.observations}
    for channel, process in card.rates:
        wanted.add(patterns[0].replace("$CHANNEL", channel).replace("$PROCESS", process))
    for name, (kind, effects) in card.effects.items():
        for channel, process in effects if kind == "shape" else ():
            base = patterns[1].replace("$CHANNEL", channel).replace("$PROCESS", process)
            wanted |= {base.replace("$SYSTEMATIC", name + direction) for direction in ("Up", "Down")}
    require(keys == wanted, f"lacking {sorted(wanted - keys)}, without use {sorted(keys - wanted)}")
    for channel, value in card.observations.items():
        found = card.shapes[f"{channel}/data_obs"]
        require(abs(found.values().sum() - value) <= 1e-9 * max(value, 1), f"observation of {channel}")
        edges = found.axis().edges().tolist()
        require(all(shape.axis().edges().tolist() == edges for key, shape in card.shapes.items()
                    if key.startswith(f"{channel}/")), f"other bins in {channel}")  # fmt: skip
    for (channel, process), rate in card.rates.items():
        total = card.shapes[f"{channel}/{process}"].values().sum()
        require(abs(total - rate) <= 1e-9 * max(total, 1), f"rate of {process} in {channel}: {rate}, not {total}")
