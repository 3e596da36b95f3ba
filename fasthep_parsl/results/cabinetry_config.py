"""Write ``results/cabinetry.yml``: a configuration of cabinetry that reads ``templates.root``.

https://cabinetry.readthedocs.io/en/stable/config.html
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from fasthep_parsl.atomic import write_text
from fasthep_parsl.plan import PlanTemplates
from fasthep_parsl.plan.templates import nominal_names, variation_path
from fasthep_parsl.results.nuisances import Effect, Nuisance, nuisances, processes
from fasthep_parsl.results.templates import ROOT_FILE, Collected, measurement_name

FILE = "cabinetry.yml"
_NOTE = """\
# Written from the templates of this run; start cabinetry in this folder. Change a copy: a resumed run writes it anew.
"""


def write_cabinetry(found: Collected, folder: Path) -> list[Path]:
    """Write the configuration. Its paths are relative to `folder`.

    Parameters
    ----------
    found : Collected
        The templates.
    folder : Path
        ``results`` of the run directory.
    """
    text = yaml.safe_dump(cabinetry_config(found), sort_keys=False, allow_unicode=True, width=120)
    return [write_text(folder / FILE, _NOTE + text)]


def cabinetry_config(found: Collected) -> dict[str, Any]:
    """Return the configuration as plain data."""
    wanted = found.wanted
    present = list(processes(found))
    regions = [channel.name for channel in wanted.channels if any(name == channel.name for name, _ in present)]
    normalisation = {
        "Name": parameter_of_interest(wanted),
        "Samples": [name for name in wanted.signals if any(sample == name for _, sample in present)],
        "Nominal": 1,
        "Bounds": [0, 10],
    }
    return {
        "General": {
            "Measurement": measurement_name(found),
            "POI": normalisation["Name"],
            "InputPath": f"{ROOT_FILE}:{_input_path(wanted)}",
            "HistogramFolder": "histograms/",
        },
        "Regions": [{"Name": name, "RegionPath": name} for name in regions],
        "Samples": [
            {"Name": wanted.observed, "SamplePath": wanted.observed, "Data": True},
            *(_sample(sample.name, present, regions) for sample in wanted.samples if _regions(sample.name, present)),
        ],
        "Systematics": [
            *(entry for nuisance in nuisances(found) for entry in _systematics(nuisance, wanted)),
            *(
                _rate(rate.name, rate.size, rate.samples, present)
                for rate in wanted.rates
                if any(_regions(sample, present) for sample in rate.samples)
            ),
        ],
        "NormFactors": [normalisation],
    }


def parameter_of_interest(wanted: PlanTemplates) -> str:
    """Return the name of the parameter that scales the signals."""
    return f"{wanted.signals[0]}_norm" if len(wanted.signals) == 1 else "signal_norm"


def _input_path(wanted: PlanTemplates) -> str:
    """Return the pattern of names, with cabinetry's words. `{histogram}` is part of the region's path."""
    pattern = nominal_names(wanted.names)
    marked = wanted.names.replace(variation_path(wanted.names, "{variation}"), "\0")
    text = marked if "\0" in marked else pattern + "\0"
    return text.replace("\0", "{VariationPath}").replace("{region}", "{RegionPath}").replace("{sample}", "{SamplePath}")


def _regions(sample: str, present: list[tuple[str, str]]) -> list[str]:
    return [channel for channel, name in present if name == sample]


def _sample(name: str, present: list[tuple[str, str]], regions: list[str]) -> dict[str, Any]:
    mine = _regions(name, present)
    return {"Name": name, "SamplePath": name, **({} if mine == regions else {"Regions": mine})}


def _systematics(nuisance: Nuisance, wanted: PlanTemplates) -> list[dict[str, Any]]:
    """Return one entry for all samples with the same regions and directions; they share the parameter."""
    grouped: dict[tuple[tuple[str, ...], str, str], list[str]] = {}
    for sample in dict.fromkeys(effect.sample for effect in nuisance.effects):
        mine = [effect for effect in nuisance.effects if effect.sample == sample]
        for directions in dict.fromkeys(map(_directions, mine)):
            channels = tuple(effect.channel for effect in mine if _directions(effect) == directions)
            grouped.setdefault((channels, *directions), []).append(sample)
    entries = []
    for number, ((channels, up, down), samples) in enumerate(grouped.items()):
        entry: dict[str, Any] = {
            "Name": nuisance.name if not number else f"{nuisance.name}_{number + 1}",
            "Type": "NormPlusShape",
            "Regions": list(channels),
            "Samples": samples,
            "Up": {"VariationPath": variation_path(wanted.names, up or down)},
            "Down": {"VariationPath": variation_path(wanted.names, down)} if up and down else {"Symmetrize": True},
        }
        entries.append(entry | ({"ModifierName": nuisance.name} if number else {}))
    return entries


def _directions(effect: Effect) -> tuple[str, str]:
    return effect.up.name if effect.up else "", effect.down.name if effect.down else ""


def _rate(name: str, size: float, samples: tuple[str, ...], present: list[tuple[str, str]]) -> dict[str, Any]:
    return {
        "Name": name,
        "Type": "Normalization",
        "Samples": [sample for sample in samples if _regions(sample, present)],
        "Up": {"Normalization": size},
        "Down": {"Normalization": -size},
    }
