"""The corrections of the Analysis Grand Challenge as a document of correctionlib (schema version 2)."""

from __future__ import annotations

from typing import Any, Final

CORRECTIONS_FILE: Final = "corrections.json"
"""Name of the file in the output folder."""

BTAG_SLOPE: Final = 0.075
"""Relative uncertainty of b tagging for a jet of 50 GeV; proportional to its pt."""
SCALE_UNCERTAINTY: Final = 0.025
"""Relative uncertainty of W+jets."""


def agc_corrections() -> dict[str, Any]:
    """Return the correction ``event_systematics``: a factor for the weight of an event.

    Its inputs are `syst_name` (``btag_var``, ``scale_var``), `direction` (``up``, ``down``) and `pt` [GeV] of a jet.
    """
    return {
        "schema_version": 2,
        "description": "Weight variations of the Analysis Grand Challenge",
        "corrections": [
            {
                "name": "event_systematics",
                "description": "Factors for the weight of an event",
                "version": 1,
                "inputs": [
                    {"name": "syst_name", "type": "string", "description": "btag_var or scale_var"},
                    {"name": "direction", "type": "string", "description": "up or down"},
                    {"name": "pt", "type": "real", "description": "transverse momentum of a jet in GeV"},
                ],
                "output": {"name": "weight", "type": "real", "description": "factor"},
                "data": _category(
                    "syst_name",
                    btag_var=_category("direction", up=_btag("+"), down=_btag("-")),
                    scale_var=_category("direction", up=1 + SCALE_UNCERTAINTY, down=1 - SCALE_UNCERTAINTY),
                ),
            }
        ],
    }


def _category(variable: str, **values: Any) -> dict[str, Any]:
    content = [{"key": key, "value": value} for key, value in values.items()]
    return {"nodetype": "category", "input": variable, "content": content}


def _btag(sign: str) -> dict[str, Any]:
    expression = f"1{sign}{BTAG_SLOPE}*x/50"
    return {"nodetype": "formula", "expression": expression, "parser": "TFormula", "variables": ["pt"]}
