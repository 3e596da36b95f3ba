"""Write ``results/workspace.json``: a HistFactory workspace for pyhf.

https://pyhf.readthedocs.io/en/stable/likelihood.html
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fasthep_parsl.atomic import write_text
from fasthep_parsl.jsontext import json_text
from fasthep_parsl.results.cabinetry_config import parameter_of_interest
from fasthep_parsl.results.nuisances import Effect, Nuisance, nuisances, processes, yields
from fasthep_parsl.results.templates import Collected, measurement_name

FILE = "workspace.json"


def write_pyhf(found: Collected, folder: Path) -> list[Path]:
    """Write the workspace.

    Parameters
    ----------
    found : Collected
        The templates.
    folder : Path
        ``results`` of the run directory.
    """
    return [write_text(folder / FILE, json_text(pyhf_workspace(found)) + "\n")]


def pyhf_workspace(found: Collected) -> dict[str, Any]:
    """Return the workspace as plain data.

    A variation is a change of the normalisation (``normsys``) and, with more than one bin, of the shape at the nominal
    normalisation (``histosys``), with one parameter, as cabinetry does it. Statistical uncertainties of templates are
    ``staterror``.
    """
    present = list(processes(found))
    kinds = nuisances(found)
    channels = list(dict.fromkeys(channel for channel, _ in present))
    interest = parameter_of_interest(found.wanted)
    return {
        "channels": [
            {
                "name": channel,
                "samples": [_sample(found, channel, name, kinds, interest) for at, name in present if at == channel],
            }
            for channel in channels
        ],
        "measurements": [
            {
                "name": measurement_name(found),
                "config": {
                    "poi": interest,
                    "parameters": [{"name": interest, "inits": [1.0], "bounds": [[0.0, 10.0]]}],
                },
            }
        ],
        "observations": [{"name": channel, "data": _observed(found, channel)} for channel in channels],
        "version": "1.0.0",
    }


def _observed(found: Collected, channel: str) -> list[float]:
    hist = found.observed(channel)
    if hist is None:  # no event of the data is there
        first = next(name for at, name in processes(found) if at == channel)
        return [0.0] * len(yields(found.content[channel, first, ""]))
    return _listed(yields(hist))


def _sample(found: Collected, channel: str, sample: str, kinds: list[Nuisance], interest: str) -> dict[str, Any]:
    hist = found.content[channel, sample, ""]
    modifiers: list[dict[str, Any]] = [
        {
            "name": f"staterror_{channel}",
            "type": "staterror",
            "data": _listed(np.sqrt(np.asarray(hist.view()["variance"]))),
        }
    ]
    if sample in found.wanted.signals:
        modifiers.append({"name": interest, "type": "normfactor", "data": None})
    modifiers += [
        {"name": rate.name, "type": "normsys", "data": {"hi": 1 + rate.size, "lo": 1 - rate.size}}
        for rate in found.wanted.rates
        if sample in rate.samples
    ]
    for nuisance in kinds:
        effect = nuisance.effect(channel, sample)
        if effect is not None:
            modifiers += _modifiers(nuisance.name, effect)
    return {"name": sample, "data": _listed(yields(hist)), "modifiers": modifiers}


def _modifiers(name: str, effect: Effect) -> list[dict[str, Any]]:
    nominal = effect.nominal.sum()
    sums = effect.high.sum(), effect.low.sum()
    if nominal <= 0 or min(sums) <= 0:  # no scale: the shape has both effects
        return [_shape(name, effect.high, effect.low)]
    up, down = sums[0] / nominal, sums[1] / nominal
    if effect.mirrored:  # first the normalisation, then the shape is mirrored, as cabinetry does it
        if effect.up is not None:
            down, high = 2 - up, effect.high / up
            low = 2 * effect.nominal - high
        else:
            up, low = 2 - down, effect.low / down
            high = 2 * effect.nominal - low
    else:
        high, low = effect.high / up, effect.low / down
    norm = {"name": name, "type": "normsys", "data": {"hi": float(up), "lo": float(down)}}
    return [norm, _shape(name, high, low)] if len(effect.nominal) > 1 else [norm]


def _shape(name: str, high: Any, low: Any) -> dict[str, Any]:
    return {"name": name, "type": "histosys", "data": {"hi_data": _listed(high), "lo_data": _listed(low)}}


def _listed(values: Any) -> list[float]:
    return [float(value) for value in values]
