"""JSON that every reader takes: Python writes ``NaN`` and ``Infinity``, which are not JSON."""

from __future__ import annotations

import json
import re
from typing import Any

_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*"|NaN|-?Infinity')
_INSTEAD = {"NaN": "null", "Infinity": "1e999", "-Infinity": "-1e999"}


def json_text(content: Any, **options: Any) -> str:
    """Return `content` as JSON; NaN becomes null, and infinities ``1e999``, which reads as infinity.

    Parameters
    ----------
    content : Any
        What ``json.dumps`` takes.
    **options : Any
        For ``json.dumps``.
    """
    return standard_json(json.dumps(content, **options))


def standard_json(text: str) -> str:
    """Replace ``NaN`` and ``Infinity`` in what Python's ``json`` has written."""
    if "NaN" not in text and "Infinity" not in text:
        return text
    return _TOKENS.sub(lambda match: _INSTEAD.get(match[0], match[0]), text)
