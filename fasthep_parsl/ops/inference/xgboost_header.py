"""Features of a model of XGBoost, saved as JSON or UBJ (https://xgboost.readthedocs.io/en/stable/tutorials/saving_model.html)."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

from fasthep_parsl.ops.inference.model_file import ModelFacts, ModelFileError, ModelPort

PREDICTION, MARGIN = "prediction", "margin"
_NUMBERS = {"i": ">b", "U": ">B", "I": ">h", "l": ">i", "L": ">q", "d": ">f", "D": ">d"}
"""Marker of a number in UBJSON → its struct format."""


def xgboost_facts(content: bytes) -> ModelFacts:
    """Return what a model of XGBoost takes and gives.

    Raises
    ------
    ModelFileError
        It is not such a model.
    """
    learner = _read(content).get("learner")
    if not isinstance(learner, Mapping) or "learner_model_param" not in learner:
        raise ModelFileError("is not a model of XGBoost: it has no `learner`", "save it with booster.save_model(…)")
    parameters = learner["learner_model_param"]
    classes, targets = (int(parameters.get(key, 0)) for key in ("num_class", "num_target"))
    several = max(classes, targets)
    rows: tuple[int | None, ...] = (None, several) if several > 1 else (None,)
    label = learner.get("objective", {}).get("name") == "multi:softmax"
    return ModelFacts(
        "xgboost",
        (ModelPort("features", "float32", (None, int(parameters["num_feature"]))),),
        (ModelPort(PREDICTION, "float32", (None,) if label else rows), ModelPort(MARGIN, "float32", rows)),
        tuple(learner.get("feature_names") or ()),
    )


def _read(content: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(content) if content[1:].lstrip()[:1] in (b'"', b"}") else _Reader(content).value()
    except (ValueError, IndexError, KeyError, struct.error, RecursionError):
        raise ModelFileError("is neither an ONNX model nor one of XGBoost (JSON or UBJ)") from None
    if not isinstance(found, Mapping):
        raise ModelFileError("is not a model of XGBoost")
    return found


class _Reader:
    """Reads UBJSON (https://ubjson.org, draft 12). Typed arrays, which have the trees, are skipped."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def value(self, marker: str = "") -> Any:
        """Return the value at the current place."""
        marker = marker or self._marker()
        if marker in _NUMBERS:
            return self._number(marker)
        if marker == "S":
            return self._text()
        if marker == "{":
            return self._object()
        if marker == "[":
            return self._array()
        return {"T": True, "F": False, "Z": None, "C": ""}[marker]

    def _marker(self) -> str:
        found = chr(self._content[self._at])
        self._at += 1
        return found

    def _number(self, marker: str) -> Any:
        form = _NUMBERS[marker]
        (found,) = struct.unpack_from(form, self._content, self._at)
        self._at += struct.calcsize(form)
        return found

    def _text(self) -> str:
        length = self._number(self._marker())
        self._at += length
        return self._content[self._at - length : self._at].decode()

    def _object(self) -> dict[str, Any]:
        found = {}
        while chr(self._content[self._at]) != "}":
            key = self._text()
            found[key] = self.value()
        self._at += 1
        return found

    def _array(self) -> list[Any]:
        kind = ""
        if chr(self._content[self._at]) == "$":
            self._at += 1
            kind = self._marker()
        if chr(self._content[self._at]) == "#":
            self._at += 1
            length = self._number(self._marker())
            if kind in _NUMBERS:
                self._at += length * struct.calcsize(_NUMBERS[kind])
                return []
            return [self.value(kind) for _ in range(length)]
        found = []
        while chr(self._content[self._at]) != "]":
            found.append(self.value())
        self._at += 1
        return found
