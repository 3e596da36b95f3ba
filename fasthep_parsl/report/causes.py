"""Failures and lost tasks, grouped by cause; only the first of each group is kept."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

from fasthep_parsl.events import PartitionFailed, TaskLost
from fasthep_parsl.plan import Plan
from fasthep_parsl.report.models import FailureGroup, Failures, LostGroup

MAX_GROUPS = 25
"""Causes that the page shows."""
MAX_KEPT = 1000
"""Causes that are kept apart; further ones are counted together."""
MAX_DETAIL = 3000
"""Characters of a traceback."""
_VARIABLE = re.compile(r"\S*/\S+|0x[0-9a-f]+|\d[\d,.]*")
_OTHER = ("", "", "", "")


@dataclass
class _Group:
    first: PartitionFailed
    partitions: int = 0
    events: int = 0
    files: set[tuple[int, int]] = field(default_factory=set)


class Causes:
    """Counts failures by cause; call it with events.

    Parameters
    ----------
    plan : Plan
        The plan.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._groups: dict[tuple[str, str, str, str], _Group] = {}
        self._lost: Counter[str] = Counter()
        self.lost_tasks = 0
        self.partitions = 0
        self.retried = 0

    def restart(self) -> None:
        """Forget the failures of an earlier session: it was resumed, and they are tried again."""
        self._groups.clear()
        self.partitions = 0

    def lost(self, event: TaskLost) -> None:
        """Add a lost task."""
        self.lost_tasks += 1
        message = _VARIABLE.sub("…", event.message)
        self._lost[message if message in self._lost or len(self._lost) < MAX_KEPT else "other reasons"] += 1

    def failed(self, event: PartitionFailed) -> None:
        """Add a failure."""
        key: tuple[str, str, str, str] = (event.cause, event.stage, event.where, _VARIABLE.sub("…", event.message))
        if key not in self._groups and len(self._groups) >= MAX_KEPT:
            key = _OTHER
        group = self._groups.setdefault(key, _Group(event))
        self.partitions += 1
        group.partitions += 1
        if event.partition >= 0:
            dataset, file, _ = self._plan.locate(event.partition)
            group.files.add((dataset, file))
            group.events += self._plan.events_in(event.partition, event.partition + 1)

    @property
    def of_the_user(self) -> bool:
        """Whether a failure is one of the user's code or settings: the plan changes when that is mended."""
        return any(group.first.cause in ("user", "configuration") for group in self._groups.values())

    @property
    def of_the_input(self) -> bool:
        """Whether a failure is one of an input file."""
        return any(group.first.cause == "data" for group in self._groups.values())

    def summary(self, blocked: tuple[tuple[str, str], ...] = ()) -> Failures:
        """Return what has failed, the largest groups first."""
        groups = sorted(self._groups.values(), key=lambda group: -group.partitions)
        lost = self._lost.most_common()
        return Failures(
            tuple(self._shown(group) for group in groups[:MAX_GROUPS]),
            max(0, len(groups) - MAX_GROUPS),
            self.partitions,
            tuple(LostGroup(message, tasks) for message, tasks in lost[:MAX_GROUPS]),
            self.lost_tasks,
            self.retried,
            blocked,
        )

    def _shown(self, group: _Group) -> FailureGroup:
        event = group.first
        example = ""
        if event.partition >= 0:
            dataset, file, start, stop = self._plan.partition_range(event.partition)
            example = f"{dataset.name}: {file.path} events {start:,}–{stop:,}"
        return FailureGroup(
            event.cause,
            event.stage,
            event.message,
            event.where,
            group.partitions,
            group.events,
            len(group.files),
            example,
            event.detail[-MAX_DETAIL:],
        )
