"""Analysis code of the tests of renewal: an op that takes time until it is told not to, and says which token it has."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from fasthep_parsl import op


def merge(a: list[Any], b: list[Any]) -> list[Any]:
    """Return the rows of both."""
    return [*a, *b]


@op("renewal.read", reads=["x"], product="read", merge=merge, per_partition=True)
def read(events: Any, *, seconds: float, unless: str) -> list[Any]:
    """Return [sum of x, hash of the token]. Take `seconds`, unless the file `unless` exists."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and not os.path.exists(unless):  # noqa: PTH110
        time.sleep(0.05)
    secret = Path(os.environ["BEARER_TOKEN_FILE"]).read_bytes().strip()
    return [[int(np.asarray(events["x"]).sum()), hashlib.sha256(secret).hexdigest()[:12]]]
