"""Examples of plug-ins of other packages, for the contract tests: the file in ``$FASTHEP_EXAMPLES``, a mapping by kind."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml


def given(kind: str) -> dict[str, Any]:
    """Return name → example for the plug-ins of `kind` (``ops``, ``modifiers`` …)."""
    path = os.environ.get("FASTHEP_EXAMPLES")
    return (yaml.safe_load(Path(path).read_text()) or {}).get(kind, {}) if path else {}
