"""Gate of a run for credentials: new tasks that read URLs wait while one has expired, and refused work is repeated.

A server refuses a credential because it has expired, because it was replaced a moment ago, or because it does not permit
the path. The first two pass: the partitions go back to their segment and are counted nowhere. The third does not: after a
few attempts the partition fails. A run in which servers refuse everything stops.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from fasthep_parsl.driver.segment_state import SegmentState
from fasthep_parsl.plan import Plan, PlanDataset, PlanSegment
from fasthep_parsl.tasks import Failure, Task, TaskResult

MAX_REFUSED = 3
"""Refusals of a partition with a good credential before it fails."""
MAX_RETURNED = 10
"""The same, counting those with a credential that was replaced in the meantime."""
MANY = 10
"""Files that are refused, and none is read, after which one refusal is enough. A segment that could read none of at least
so many files, some of each dataset, stops."""


class Watch(Protocol):
    """What the gate asks about the credentials of a run; `CredentialKeeper` answers."""

    @property
    def version(self) -> int:
        """A number that grows whenever a credential is replaced."""

    @property
    def usable(self) -> bool:
        """Whether no credential has expired."""

    def suspect(self) -> bool:
        """Note that a server has refused a credential; return whether one is so near its end that it counts as expired."""

    def hold(self) -> None:
        """Note that work waits for a fresh credential. May be called repeatedly."""

    def listen(self, changed: Callable[[], None]) -> None:
        """Call `changed` whenever a credential is replaced, from any thread."""


class NoCredentials:
    """The answers for a run without credentials."""

    version = 0
    usable = True

    def suspect(self) -> bool:
        """Return False: nothing expires."""
        return False

    def hold(self) -> None:
        """Do nothing."""

    def listen(self, changed: Callable[[], None]) -> None:
        """Do nothing: nothing changes."""


class CredentialGate:
    """Decides which work waits for a credential, and what becomes of work that servers have refused.

    Parameters
    ----------
    plan : Plan
        The plan.
    watch : Watch, optional
        The credentials of the run.

    Attributes
    ----------
    waiting : bool
        Whether work waits, since the last `begin`.
    """

    def __init__(self, plan: Plan, watch: Watch | None = None) -> None:
        self.watch: Watch = NoCredentials() if watch is None else watch
        self.waiting = False
        self._plan = plan
        self._read: dict[int, int] = {}  # segment → version of the credentials at its last success
        self._far = {n for n, dataset in enumerate(plan.datasets) if _is_far(plan, dataset)}
        self._reading = {segment.id for segment in plan.segments if _reads_urls(plan, segment)}
        self._versions: dict[int, int] = {}
        self._refused: Counter[tuple[int, int]] = Counter()
        self._returned: Counter[tuple[int, int]] = Counter()
        self._failed: defaultdict[int, set[tuple[int, int]]] = defaultdict(set)  # segment → (dataset, file)

    def begin(self) -> None:
        """Begin a round of submissions."""
        self.waiting = False

    def holds(self, segment: PlanSegment) -> bool:
        """Return whether new map and call tasks of a segment wait. Call it only if there is such work."""
        if segment.id not in self._reading or self.watch.usable:
            return False
        self.waiting = True
        self.watch.hold()
        return True

    def submitted(self, task: Task) -> None:
        """Note with which credentials a task starts."""
        if task.kind != "merge" and task.segment in self._reading:
            self._versions[task.id] = self.watch.version

    def judge(self, state: SegmentState, task: Task, result: TaskResult) -> tuple[TaskResult, tuple[int, ...]]:
        """Decide about the refused partitions of a result.

        Returns
        -------
        TaskResult
            The result. What is refused for good has failed. What is to be repeated is in neither `done` nor `failures`.
        tuple of int
            The partitions to repeat; -1 for a call.
        """
        version = self._versions.pop(task.id, self.watch.version)
        refused = [failure for failure in result.failures if failure.kind == "credential"]
        if result.done:
            self._failed.pop(task.segment, None)
            self._read[task.segment] = version
        if not refused:
            return result, ()
        passing = self.watch.suspect() or not self.watch.usable
        again = {failure.partition for failure in refused if self._is_repeated(task, failure, version, passing=passing)}
        kept = (
            failure for failure in result.failures if failure.kind != "credential" or failure.partition not in again
        )
        failures = tuple(replace(item, kind="data") if item.kind == "credential" else item for item in kept)
        final = (item.partition for item in refused if item.partition >= 0 and item.partition not in again)
        self._failed[task.segment].update(self._plan.locate(partition)[:2] for partition in final)
        if self._is_hopeless(task.segment):
            state.blocked = state.blocked or f"servers refuse the credentials of this run: {refused[0].message}"
        return replace(result, failures=failures), tuple(sorted(again))

    def _is_repeated(self, task: Task, failure: Failure, version: int, *, passing: bool) -> bool:
        """Count a refusal; return whether the partition is read again."""
        if passing:
            return True
        key = (task.segment, failure.partition if task.kind == "map" else -1 - task.dataset)
        self._returned[key] += 1
        self._refused[key] += version == self.watch.version
        most = 1 if self._many(task.segment) else MAX_REFUSED
        return self._refused[key] < most and self._returned[key] < MAX_RETURNED

    def _is_hopeless(self, segment: int) -> bool:
        """Return whether servers have refused many files, some of each dataset, and nothing was read with a credential."""
        refused = {dataset for dataset, _ in self._failed[segment]}
        return self._many(segment) and refused >= self._far and self._read.get(segment) != self.watch.version

    def _many(self, segment: int) -> bool:
        """Return whether servers have refused many files, and let no other be read since."""
        return len(self._failed[segment]) >= MANY


def _reads_urls(plan: Plan, segment: PlanSegment) -> bool:
    """Return whether tasks of a segment read input files from servers."""
    return not segment.input and any(_is_far(plan, dataset) for dataset in plan.datasets)


def _is_far(plan: Plan, dataset: PlanDataset) -> bool:
    """Return whether some files of a dataset, or of those that are read with them, are on servers."""
    source = plan.source.of(dataset)
    places = (place for file in dataset.files for place in source.read_with(file))
    return any("://" in place and not place.startswith("file:") for place in places)
