"""Retry policy for tasks whose worker was lost: retry, run alone, or fail.

A task fails only if it has lost its worker several times, the last time while no other task ran: a neighbour that fills
the memory of a node kills other tasks too.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Literal

from fasthep_parsl.driver.stream_chunks import divisions
from fasthep_parsl.tasks import Task
from fasthep_parsl.worker.spans import count

MAX_LOST = 3
"""Workers that a single partition may lose before it fails."""
MAX_BLOCKS_LOST = 12
"""The same for blocks, which batch systems also end for their own reasons."""
MAX_ISOLATED = 10
"""Tasks of a segment that run alone before they fail. After so many failures the others fail without that."""

RetryDecision = Literal["retry", "isolate", "fail"]


class RetryPolicy:
    """Losses of tasks, for all segments of a run."""

    def __init__(self) -> None:
        self._lost: defaultdict[tuple[int, int], float] = defaultdict(float)
        self._failed: Counter[int] = Counter()

    def lost(self, task: Task, most: int, *, alone: bool) -> RetryDecision:
        """Return what to do with a task that has lost its worker.

        Parameters
        ----------
        task : Task
            The task.
        most : int
            How often this may happen to it.
        alone : bool
            Whether no other task ran at that time.
        """
        if not is_indivisible(task):
            return "retry"
        key = _key(task)
        self._lost[key] += 1 / most
        if self._lost[key] > 1 - 1e-9 and (alone or not self.must_isolate(task)):
            self._failed[task.segment] += 1
            return "fail"
        return "isolate" if self.must_isolate(task) and self._lost[key] > 1 - 1 / most - 1e-9 else "retry"

    def must_isolate(self, task: Task) -> bool:
        """Return whether a task must run alone before it may fail."""
        return self._failed[task.segment] < MAX_ISOLATED

    def succeeded(self, task: Task) -> None:
        """Forget the losses of a task."""
        self._lost.pop(_key(task), None)


def is_indivisible(task: Task) -> bool:
    """Return whether a task cannot be divided into smaller ones."""
    return task.kind != "map" or count(task.partitions) + sum(divisions(ref) for ref in task.refs) == 1


def _key(task: Task) -> tuple[int, int]:
    """Return the key of the losses of a task: its only partition, or a number for the kind of task."""
    if task.kind == "merge":
        return task.segment, -1
    if task.kind == "call":
        return task.segment, -3 - task.dataset  # -2 is the call for all datasets
    return task.segment, task.partitions[0][0] if task.partitions else task.refs[0].partitions[0][0]
