"""Repeat an operation after passing faults, within a time limit."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from fasthep_parsl.storage.faults import Fault, FaultError

T = TypeVar("T")

FIRST_WAIT = 0.2
"""Seconds before the first repetition, on average; each further one waits twice as long."""
LEAST = 0.05
"""Seconds that must be left for another attempt."""


def repeated(operation: Callable[[float], T], seconds: float, retries: int) -> T:
    """Return the result of an operation. Repeat it after passing faults, with growing random waits.

    Parameters
    ----------
    operation : callable
        Called with the seconds that are left. Raises `FaultError`.
    seconds : float
        Time limit for all attempts together.
    retries : int
        Number of repetitions.

    Raises
    ------
    FaultError
        The last fault.
    """
    end = time.monotonic() + seconds
    for attempt in range(retries + 1):
        try:
            return operation(max(end - time.monotonic(), LEAST))
        except FaultError as error:
            wait = FIRST_WAIT * 2**attempt * random.uniform(0.5, 1.5)  # noqa: S311 - many workers must not wait equally
            if not error.fault.passing or attempt == retries or time.monotonic() + wait + LEAST > end:
                raise
        time.sleep(wait)
    raise FaultError(Fault("unreachable", False, "no attempt was made"))  # retries < 0
