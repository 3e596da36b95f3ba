"""Who is to blame for a lost worker: a task only that lost it again and again, and at last with nothing beside it."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Literal

from fasthep_parsl.driver.pieces import weight
from fasthep_parsl.tasks import Task
from fasthep_parsl.worker.spans import count

MAX_LOST = 3
"""How often a single partition may take its worker down before it counts as failed."""
MAX_BLOCKS_LOST = 12
"""The same for whole blocks, which batch systems take away for reasons of their own."""
TRIALS = 10
"""How many tasks of a segment are tried with nothing beside them, the last time: a neighbour may have taken their worker
down, as one does that fills the memory of the node. Where so many did it themselves, others are taken at their losses."""

Verdict = Literal["again", "trial", "guilty"]


class Suspicion:
    """What is known of tasks that lost their workers, one for all segments."""

    def __init__(self) -> None:
        self._lost: defaultdict[tuple[int, int], float] = defaultdict(float)
        self._guilty: Counter[int] = Counter()

    def lost(self, task: Task, most: int, *, tried: bool) -> Verdict:
        """Return what is to become of a task that has lost its worker.

        Parameters
        ----------
        task : Task
            The task.
        most : int
            How often this may happen to it.
        tried : bool
            Whether nothing ran beside it.
        """
        if not is_alone(task):
            return "again"
        key = _key(task)
        self._lost[key] += 1 / most
        if self._lost[key] > 1 - 1e-9 and (tried or not self.needs_trial(task)):
            self._guilty[task.segment] += 1
            return "guilty"
        return "trial" if self.needs_trial(task) and self._lost[key] > 1 - 1 / most - 1e-9 else "again"

    def needs_trial(self, task: Task) -> bool:
        """Return whether a task must be tried with nothing beside it, before it is found guilty."""
        return self._guilty[task.segment] < TRIALS

    def cleared(self, task: Task) -> None:
        """Forget what was held against a task."""
        self._lost.pop(_key(task), None)


def is_alone(task: Task) -> bool:
    """Return whether a task cannot be divided."""
    return task.kind != "map" or count(task.partitions) + sum(weight(ref) for ref in task.refs) == 1


def _key(task: Task) -> tuple[int, int]:
    """Return under what the losses of a task are counted: its only partition, or what kind of task it is."""
    if task.kind == "merge":
        return task.segment, -1
    if task.kind == "call":
        return task.segment, -3 - task.dataset  # -2 is the call for all datasets
    return task.segment, task.partitions[0][0] if task.partitions else task.refs[0].partitions[0][0]
