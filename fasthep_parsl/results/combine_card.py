"""Write ``results/combine``: a datacard and shapes for CMS's Combine.

The syntax is that of *Preparing the datacard* in Combine's documentation,
https://cms-analysis.github.io/HiggsAnalysis-CombinedLimit/latest/part2/settinguptheanalysis/.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fasthep_parsl.atomic import atomic, write_text
from fasthep_parsl.results.nuisances import Nuisance, nuisances, processes, yields
from fasthep_parsl.results.templates import Collected, measurement_name

FOLDER = "combine"
CARD = "datacard.txt"
SHAPES = "shapes.root"
DATA = "data_obs"
STATISTICS = 10
"""Threshold of `autoMCStats`: bins with fewer effective events get one parameter per process."""


def write_combine(found: Collected, folder: Path) -> list[Path]:
    """Write datacard and shapes.

    Parameters
    ----------
    found : Collected
        The templates.
    folder : Path
        ``results`` of the run directory.
    """
    import uproot

    kinds, target = nuisances(found), folder / FOLDER
    target.mkdir(parents=True, exist_ok=True)
    path = target / SHAPES
    with np.errstate(invalid="ignore"), atomic(path) as draft, uproot.recreate(draft) as file:
        for name, hist in shapes(found, kinds):
            file[name] = hist
    return [path, write_text(target / CARD, datacard(found, kinds))]


def shapes(found: Collected, kinds: list[Nuisance]) -> Iterator[tuple[str, Any]]:
    """Yield name → histogram of everything that the datacard refers to."""
    present = list(processes(found))
    for channel in dict.fromkeys(channel for channel, _ in present):
        first = next(found.content[at, sample, ""] for at, sample in present if at == channel)
        observed = found.observed(channel)
        yield f"{channel}/{DATA}", first * 0 if observed is None else observed
    for channel, sample in present:
        nominal = found.content[channel, sample, ""]
        yield f"{channel}/{sample}", nominal
        for nuisance in kinds:
            effect = nuisance.effect(channel, sample)
            if effect is not None:
                for direction, variation, mirror in (("Up", effect.up, effect.high), ("Down", effect.down, effect.low)):
                    hist = found.content[channel, sample, variation.name] if variation else _mirrored(nominal, mirror)
                    yield f"{channel}/{sample}_{nuisance.name}{direction}", hist


def _mirrored(nominal: Any, values: Any) -> Any:
    """Return a histogram with the values of a mirrored variation; it has no negative bins."""
    hist = nominal.copy()
    hist.view()["value"] = np.maximum(values, 0.0)
    return hist


def datacard(found: Collected, kinds: list[Nuisance]) -> str:
    """Return the text of the datacard."""
    present = list(processes(found))
    channels = list(dict.fromkeys(channel for channel, _ in present))
    numbers = _numbers(found)
    used = list(dict.fromkeys(sample for _, sample in present))
    rates = [rate for rate in found.wanted.rates if any(sample in rate.samples for sample in used)]
    observed = [sum(yields(hist)) if (hist := found.observed(channel)) is not None else 0 for channel in channels]
    head = [
        *([f"# {measurement_name(found)}"] if found.extent else []),
        *_remarks(kinds),
        f"imax {len(channels)}  number of channels",
        f"jmax {len(used) - 1}  number of processes minus 1",
        f"kmax {len(kinds) + len(rates)}  number of nuisance parameters",
    ]
    mapping = [f"shapes * * {SHAPES} $CHANNEL/$PROCESS $CHANNEL/$PROCESS_$SYSTEMATIC"]
    data = _table([["bin", *channels], ["observation", *map(_number, observed)]])
    expected = _table(
        [
            ["bin", "", *(channel for channel, _ in present)],
            ["process", "", *(sample for _, sample in present)],
            ["process", "", *(str(numbers[sample]) for _, sample in present)],
            ["rate", "", *(_number(sum(yields(found.content[at, sample, ""]))) for at, sample in present)],
        ]
    )
    effects = _table(
        [
            *(
                [rate.name, "lnN", *(_number(1 + rate.size) if s in rate.samples else "-" for _, s in present)]
                for rate in rates
            ),
            *([kind.name, "shape", *("1" if kind.effect(*at) else "-" for at in present)] for kind in kinds),
        ]
    )
    statistics = [f"* autoMCStats {STATISTICS}"]
    rule = "-" * 40
    parts = [head, mapping, data, expected, [*effects, *statistics]]
    return f"\n{rule}\n".join("\n".join(part) for part in parts) + "\n"


def _remarks(kinds: list[Nuisance]) -> list[str]:
    mirrored = [kind.name for kind in kinds if any(effect.mirrored for effect in kind.effects)]
    if not mirrored:
        return []
    return [f"# one direction is mirrored, 2 × nominal − the other, not below 0: {' '.join(mirrored)}"]


def _numbers(found: Collected) -> dict[str, int]:
    """Return sample → number of the process: not positive for signals."""
    signals = list(found.wanted.signals)
    others = [sample.name for sample in found.wanted.samples if not sample.signal]
    numbered = {name: number - len(signals) + 1 for number, name in enumerate(signals)}
    return {**numbered, **{name: number + 1 for number, name in enumerate(others)}}


def _number(value: float) -> str:
    """Return a number with all of its digits."""
    return repr(float(value))


def _table(rows: list[list[str]]) -> list[str]:
    """Return rows as lines with aligned columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))] if rows else []
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
