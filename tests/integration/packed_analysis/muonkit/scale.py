"""Scale factors by number of muons."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import tables


def corrected(numbers: Any) -> Any:
    """Return the factor of each number of muons."""
    factors = np.asarray(tables.read("factors"))
    return factors[np.minimum(numbers, len(factors) - 1)]
