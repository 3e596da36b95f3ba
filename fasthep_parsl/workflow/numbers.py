"""Numbers in YAML 1.2: ``1e5`` is a number, ``2:00:00`` and dates are text."""

from __future__ import annotations

import math
import re

MAX_DIGITS = 300
"""Most digits of a whole number; larger ones overflow as floats."""
_INT = re.compile(r"[-+]?[0-9][0-9_]*|0x[0-9a-fA-F_]+|0o[0-7_]+")
_FLOAT = re.compile(
    r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*|[0-9][0-9_]*(?=[eE]))(?:[eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan",
    re.IGNORECASE,
)


def number(text: str) -> int | float | str | None:
    """Return plain `text` as a number by the rules of YAML 1.2, or unchanged if it is not a number.

    Return None if it overflows or underflows, like ``1e999``, which would silently become infinite.
    """
    if _INT.fullmatch(text):
        bare = text.replace("_", "")
        if len(bare) > MAX_DIGITS:
            return None
        return int(bare, 0) if bare[:2] in {"0x", "0o"} else int(bare)
    if _FLOAT.fullmatch(text):
        found = float(text.replace("_", "").replace(".inf", "inf").replace(".nan", "nan"))
        lost = not math.isfinite(found) or (found == 0 and re.search("[1-9]", re.split("[eE]", text)[0]))
        return None if lost and text[-1].isdigit() else found
    return text
