"""Compile the CuPy kernels that ops use, in parallel threads, before the first events are read."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Final

from fasthep_parsl.ops.arrays import np
from fasthep_parsl.ops.gpu import cuda_kernels

MAX_THREADS: Final = 8

TABLE: Final = """
absolute f | absolute d | add d d | add i d | add l i | add l l | arange | bitwise_and ? ? | copy ? i4 | copy f d
copy i4 l | copy l d | diff l | divide d d | equal i1 i | fill ? | floor_divide l i | greater f i | greater d i
greater f r | greater d r | greater i4 i | greater l i | greater_equal l i | greater_equal d i | greater_equal f i
isnan f | isnan d | less f r | less d r | less f i | less d i | less l i | less_equal f r | less_equal d r
logical_and ? ? | logical_or ? ? | logical_not ? | multiply r d | multiply d d | multiply f f | multiply i d
multiply l l | negative f | nonzero ? | searchsorted l l | sqrt d | stack d | subtract d r | subtract i d
subtract l i | subtract l l | take ? l | take f l | take d l | take i4 l | take l l | tan d | where ? d r
"""
"""Rows of a function and the NumPy type codes of its arguments; ``i`` and ``r`` are Python int and float."""

_TYPES: Final = {"?": "bool", "i1": "int8", "i4": "int32", "l": "int64", "f": "float32", "d": "float64"}


def _argument(letter: str, cupy: Any) -> Any:
    if letter in _TYPES:
        return cupy.zeros(2, dtype=_TYPES[letter])  # two entries: CuPy treats one entry as a scalar
    return 1 if letter == "i" else 1.0


def _call(row: str, cupy: Any) -> None:
    """Call the function of a row once."""
    name, *letters = row.split()
    if name == "arange":
        cupy.arange(2)
        return
    if name == "fill":
        cupy.ones(2, dtype=_TYPES[letters[0]])
        return
    given = [_argument(letter, cupy) for letter in letters]
    special: dict[str, Callable[[], Any]] = {
        "take": lambda: given[0][given[1]],
        "copy": lambda: given[0].astype(given[1].dtype),
        "nonzero": lambda: cupy.flatnonzero(given[0]),
        "searchsorted": lambda: cupy.searchsorted(given[0], given[1], side="right"),
        "stack": lambda: cupy.stack([given[0][0], given[0][1]]),
        "diff": lambda: cupy.diff(given[0]),
    }
    with np.errstate(all="ignore"):
        special.get(name, lambda: getattr(np, name)(*given))()


def rows() -> Iterator[str]:
    """Yield the rows of `TABLE`."""
    return (row.strip() for line in TABLE.splitlines() for row in line.split("|") if row.strip())


def compile_all(
    stream: Callable[[], AbstractContextManager[Any]],
    wanted: Callable[[], bool] = lambda: True,
) -> int:
    """Compile the kernels, or load them from CuPy's cache. Return the number of finished jobs.

    Parameters
    ----------
    stream : callable
        Returns the CUDA stream to use, as a context manager.
    wanted : callable
        Called before each job. If it returns False, no more jobs are started.
    """
    cupy = sys.modules["cupy"]
    every: list[Callable[[], Any]] = [cuda_kernels.compile_all, *(partial(_call, row, cupy) for row in rows())]
    jobs = iter(every)
    lock, done, failures = threading.Lock(), [0], list[Exception]()

    def work() -> None:
        try:
            with stream():
                while wanted() and not failures:
                    with lock:
                        job = next(jobs, None)
                    if job is None:
                        return
                    job()
                    done[0] += 1
        except Exception as error:  # noqa: BLE001 - raised below
            failures.append(error)

    # not a pool: its threads would have to end before the main thread
    threads = [threading.Thread(target=work) for _ in range(min(len(os.sched_getaffinity(0)), MAX_THREADS))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return done[0]
