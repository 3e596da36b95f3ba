"""Standard JSON: Python's `json` writes ``NaN`` and ``Infinity``, which other readers refuse."""

from __future__ import annotations

import json
import re
from typing import Any

_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*"|NaN|-?Infinity')
_INSTEAD = {"NaN": "null", "Infinity": "1e999", "-Infinity": "-1e999"}


def json_text(content: Any, **options: Any) -> str:
    """Return `content` as JSON. NaN becomes null, infinities become ``1e999``, which is read as infinity.

    Parameters
    ----------
    content : Any
        Value for ``json.dumps``.
    **options : Any
        Options of ``json.dumps``.
    """
    return standard_json(json.dumps(content, **options))


def standard_json(text: str) -> str:
    """Replace ``NaN`` and ``Infinity`` in what Python's ``json`` has written."""
    if "NaN" not in text and "Infinity" not in text:
        return text
    return _TOKENS.sub(lambda match: _INSTEAD.get(match[0], match[0]), text)
