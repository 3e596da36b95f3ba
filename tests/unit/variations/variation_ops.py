"""Analysis code of the tests: ops that keep all events, or say so."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np

from fasthep_parsl import op
from fasthep_parsl.interfaces import Effects, Variation, variant

NAMES = ("sf_up", "sf_down")


def _analyse(params: Any, schema: Any) -> Effects:
    columns = {name: variant("sf", name) for name in NAMES}
    return Effects(
        reads={"Jet_pt": ()},
        writes=dict.fromkeys(("sf", *columns.values()), ()),
        keeps_events=True,
        variants={"sf": columns},
        variations=tuple(Variation(name, "sf", name.removeprefix("sf_")) for name in NAMES),
    )


@op("probe.scale_factor", analyse=_analyse)
def scale_factor(events: Any) -> dict[str, Any]:
    """A weight with variations of its own, as corrections have them."""
    number = np.asarray(ak.num(events["Jet_pt"][events["Jet_pt"] > 40], axis=1))
    return {"sf": 1.0 + number, "sf@sf_up": 2.0 + number, "sf@sf_down": 0.5 * number}


@op("probe.leading", reads=["Jet_pt"], writes=["lead"], keeps_events=True)
def leading(events: Any) -> dict[str, Any]:
    """Add a field."""
    return {"lead": np.asarray(ak.fill_none(ak.max(events["Jet_pt"], axis=1), 0.0))}


@op("probe.undeclared", reads=["Jet_pt"], writes=["lead"])
def undeclared(events: Any) -> Any:
    """Add a field and drop events: nothing promises that all are kept."""
    kept = events[np.asarray(ak.num(events["Jet_pt"], axis=1)) > 1]
    return kept.with_columns({"lead": np.asarray(ak.max(kept["Jet_pt"], axis=1))})


@op("probe.liar", reads=["Jet_pt"], writes=["lead"], keeps_events=True)
def liar(events: Any) -> Any:
    """Drop events, although it promises to keep them."""
    return events[np.asarray(ak.num(events["Jet_pt"], axis=1)) > 1].with_columns(
        {"lead": np.asarray(ak.max(events["Jet_pt"][ak.num(events["Jet_pt"], axis=1) > 1], axis=1))}
    )
