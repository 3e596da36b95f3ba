"""Luminosity, cross-sections, and where sums of generator weights come from: models and units."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from fasthep_parsl.errors import suggest
from fasthep_parsl.resources.units import UnitError, describe
from fasthep_parsl.resources.validation import reading, wrong_value
from fasthep_parsl.workflow.values import Line, Model

BARNS = {"b": 0, "mb": -3, "ub": -6, "nb": -9, "pb": -12, "fb": -15, "ab": -18}
"""Unit of area → power of ten, in barn."""
_NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
_AREA = re.compile(rf"({_NUMBER})\s*([A-Za-zµμ]*)")
_INVERSE = re.compile(rf"({_NUMBER})\s*(?:1?\s*/\s*([A-Za-zµμ]+)|([A-Za-zµμ]+)\s*\^?\s*(?:-1|\{{-1\}}))?")
_LUMINOSITIES = "write a number of 1/pb, or for example `36.3 /fb`"
_AREAS = "write a number of pb, or for example `6.2 nb`"


def parse_xsec(value: object) -> float:
    """Return a cross-section in pb.

    Parameters
    ----------
    value : str, int or float
        ``"6.2 nb"``, ``"831.8 fb"``, or a number of pb.

    Returns
    -------
    float
        pb, more than 0. The digits as written are scaled, so that ``"6.2 nb"`` is exactly 6200.

    Raises
    ------
    UnitError
        Not a cross-section, an unknown unit, or not more than zero.
    """
    return _parsed(value, "cross-section", _AREAS, _AREA, sign=1)


def parse_luminosity(value: object) -> float:
    """Return an integrated luminosity in 1/pb.

    Parameters
    ----------
    value : str, int or float
        ``"36.3 /fb"``, ``"36.3 fb-1"``, ``"36.3 fb^-1"``, ``"36.3 1/fb"``, or a number of 1/pb.

    Returns
    -------
    float
        1/pb, more than 0. The digits as written are scaled, so that ``"36.3 /fb"`` is exactly 36300.

    Raises
    ------
    UnitError
        Not a luminosity, an unknown unit, or not more than zero.
    """
    return _parsed(value, "luminosity", _LUMINOSITIES, _INVERSE, sign=-1)


def _parsed(value: object, what: str, example: str, pattern: re.Pattern[str], sign: int) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise UnitError(f"expected a {what}, got {describe(value)}", example)
    text = str(value).strip()
    match = pattern.fullmatch(text)
    if match is None:
        if isinstance(value, str):
            raise UnitError(f"`{value}` is not a {what}", example)
        raise UnitError(f"`{value}` is not finite", example)
    unit = next((unit for unit in match.groups()[1:] if unit), "pb")
    plain = unit.replace("µ", "u").replace("μ", "u")
    if plain not in BARNS:
        known = [f"/{name}" if sign < 0 else name for name in BARNS]
        raise UnitError(
            f"`{unit}` is not a unit of {what}",
            str(suggest(plain, BARNS)) if sign > 0 else f"units: {', '.join(known)}",
        )
    amount = float(Decimal(match[1]).scaleb(sign * (BARNS[plain] - BARNS["pb"])))
    if not math.isfinite(amount) or amount <= 0:
        raise UnitError(f"a {what} must be more than zero, got `{value}`", example)
    return amount


CrossSection = Annotated[float, BeforeValidator(reading(parse_xsec), json_schema_input_type=float | str)]
"""pb; read from ``"6.2 nb"`` or a number."""

Luminosity = Annotated[float, BeforeValidator(reading(parse_luminosity), json_schema_input_type=float | str)]
"""1/pb; read from ``"36.3 /fb"`` or a number."""


def _how(value: object) -> str:
    return "<eras>" if isinstance(value, dict) else "<all>"


Luminosities = Annotated[
    Annotated[Luminosity, Tag("<all>")] | Annotated[dict[Line, Luminosity], Tag("<eras>")], Discriminator(_how)
]
"""A luminosity for all datasets, or era → luminosity."""

LUMINOSITY = (
    "integrated luminosity that simulation is normalised to: a number of 1/pb, `36.3 /fb`, or era → luminosity;"
    " default: no normalisation"
)
SUM_OF_WEIGHTS = (
    "where sums of generator weights come from: `{tree: Runs, branch: genEventSumw}`, `{expr: genWeight}`, `events`, or"
    " `{manifest: …}`; default: the manifest of a skim, else the tree `Runs` of NanoAOD"
)
WAYS = ("tree", "expr", "manifest", "value")
DEFAULT_TREE, DEFAULT_BRANCH = "Runs", "genEventSumw"
"""Tree and branch of NanoAOD with sums of generator weights."""


class SumOfWeights(Model):
    """Where the sum of generator weights of all events before any selection comes from. One way."""

    events: bool = Field(False, description="the number of events that were processed: `sum_of_weights: events`")
    tree: Line | None = Field(None, description="tree with one entry per block of events, `Runs`; `branch` is in it")
    branch: Line | None = Field(None, description="its branch with the sum of weights of a block, `genEventSumw`")
    expr: Line | None = Field(
        None, description="weight of an event, `genWeight`; summed over all events that are processed"
    )
    manifest: Line | None = Field(
        None, description="`manifest.json` of the run that wrote the files with `hep.write`, relative to this file"
    )

    value: float | None = Field(
        None, gt=0, description="the sum over all files, from elsewhere: `sum_of_weights: 1.2e9`"
    )

    @property
    def method(self) -> Literal["tree", "expr", "manifest", "given", "events"]:
        """The way that is given."""
        if self.value is not None:
            return "given"
        return "tree" if self.tree else "expr" if self.expr else "manifest" if self.manifest else "events"


def _one_way(value: object) -> object:
    """Accept the text ``events`` and a number. Refuse several ways, and none."""
    hint = "write `events`, `{tree: Runs, branch: genEventSumw}`, `{expr: genWeight}`, or `{manifest: …/manifest.json}`"
    if value == "events":
        return {"events": True}
    if isinstance(value, int | float) and not isinstance(value, bool):
        return {"value": value}
    if not isinstance(value, dict):
        raise wrong_value(f"expected where sums of weights come from, got {describe(value)}", hint)
    ways = [way for way in (*WAYS, "events") if value.get(way) not in (None, "", False)]
    if value.get("branch") and "tree" not in ways:
        raise wrong_value("`branch` needs `tree`", hint)
    if value.get("tree") and not value.get("branch"):
        raise wrong_value("`tree` needs `branch`", hint)
    if len(ways) != 1 and set(value) <= set(SumOfWeights.model_fields):
        raise wrong_value(f"expected one way, got {' and '.join(f'`{way}`' for way in ways) or 'none'}", hint)
    return value


SumOfWeightsOf = Annotated[
    SumOfWeights, BeforeValidator(_one_way, json_schema_input_type=SumOfWeights | Literal["events"] | float)
]
