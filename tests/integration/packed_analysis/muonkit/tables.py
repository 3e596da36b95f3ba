"""Tables of the package."""

from __future__ import annotations

import json
from pathlib import Path


def read(name: str) -> list[int]:
    """Return a table."""
    table: list[int] = json.loads((Path(__file__).parent / "scale.json").read_text())[name]
    return table
