"""Examples of plug-ins of other packages, for the contract tests: the file in ``$FASTHEP_EXAMPLES``, a mapping by kind."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from fasthep_parsl.interfaces import Op, ParamPath
from fasthep_parsl.ops.parameters import validate_params


def given(kind: str) -> dict[str, Any]:
    """Return name → example for the plug-ins of `kind` (``ops``, ``modifiers`` …)."""
    path = os.environ.get("FASTHEP_EXAMPLES")
    return (yaml.safe_load(Path(path).read_text()) or {}).get(kind, {}) if path else {}


def parameters(op: Op, example: dict[str, Any]) -> BaseModel:
    """Return an example of an op's parameters as the op receives them. Files are relative to the file with the examples."""
    beside = Path(os.environ.get("FASTHEP_EXAMPLES", "")).absolute().parent

    def find(path: ParamPath, text: str, *, folder: bool) -> Path:
        found = beside / text
        assert found.is_dir() if folder else found.is_file(), f"{op.name}: {path}: {found} does not exist"
        return found

    return validate_params(op, example, files=find)
