"""What the event log of a run says, summed in one pass: the log may be long, half-written, or still growing."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

from fasthep_parsl.blocks.job_tally import JobTally
from fasthep_parsl.events import (
    BlockChanged,
    Event,
    NodeSeen,
    PartitionFailed,
    RunEnded,
    RunStarted,
    TaskFinished,
    TaskLost,
    TaskRetried,
    TaskSubmitted,
    read_events,
)
from fasthep_parsl.plan import Plan
from fasthep_parsl.report.causes import Causes
from fasthep_parsl.report.occupancy import Occupancy
from fasthep_parsl.tasks import Span
from fasthep_parsl.worker.spans import add, subtract


class RunLog:
    """Sums over the events of a run; call it with each event.

    Parameters
    ----------
    plan : Plan
        The plan.

    Attributes
    ----------
    stages : dict
        Stage (or ``read``, ``store``, ``merge``) → calls, wall s, CPU s, events in, events out.
    walls : dict
        Segment → wall time of each of its tasks, s.
    waits : dict
        Pool → time of each of its tasks from submission to start, s.
    peaks : dict
        (pool, machine, process) → highest resident memory, bytes.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.started: RunStarted | None = None
        self.ended: RunEnded | None = None
        self.sessions = 0
        self.damaged = 0
        self.first_time = self.last_time = ""
        self.stages: dict[str, list[float]] = {}
        self.walls: defaultdict[int, array[float]] = defaultdict(lambda: array("d"))
        self.waits: defaultdict[str, array[float]] = defaultdict(lambda: array("d"))
        self.peak_of_segment: Counter[int] = Counter()
        self.peaks: dict[tuple[str, str, int], int] = {}
        self.pool_wall: defaultdict[str, float] = defaultdict(float)
        self.pool_cpu: defaultdict[str, float] = defaultdict(float)
        self.events_read = self.bytes_read = 0
        self.open: dict[int, tuple[str, float]] = {}
        self.blocks = JobTally()
        self.block_states: dict[tuple[str, int, str], str] = {}
        self.nodes: dict[tuple[str, str], NodeSeen] = {}
        self.causes = Causes(plan)
        self.occupancy: Occupancy | None = None
        self._done: defaultdict[int, list[Span]] = defaultdict(list)
        self._pools = [segment.pool for segment in plan.segments]
        self._reads_source = [not segment.input for segment in plan.segments]
        self._actions: dict[type[Event], Callable[..., None]] = {
            RunStarted: self._run_started,
            RunEnded: self._run_ended,
            TaskSubmitted: self._submitted,
            TaskFinished: self._finished,
            TaskLost: self._lost,
            TaskRetried: self._retried,
            PartitionFailed: self.causes.failed,
            BlockChanged: self._block,
            NodeSeen: self._node,
        }

    def __call__(self, event: Event) -> None:
        """Add an event."""
        self.first_time = self.first_time or event.time
        self.last_time = event.time
        action = self._actions.get(type(event))
        if action is not None:
            action(event)

    def done(self) -> list[Span]:
        """Return the partitions that are done in all results."""
        missing: list[Span] = []
        everything = [(0, self.plan.partitions)]
        for segment in self.plan.segments:
            if segment.scope == "partition":
                missing += subtract(everything, self._done[segment.id])
        return subtract(everything, missing)

    def _run_started(self, event: RunStarted) -> None:
        self.sessions += 1
        self.started, self.ended = event, None
        self.open.clear()
        self.causes.restart()

    def _run_ended(self, event: RunEnded) -> None:
        self.ended = event

    def _submitted(self, event: TaskSubmitted) -> None:
        time = event.when.timestamp()
        self.open[event.task] = event.pool, time
        if self.occupancy is None:
            self.occupancy = Occupancy(time)

    def _finished(self, event: TaskFinished) -> None:
        end = event.when.timestamp()
        pool, submitted = self.open.pop(event.task, (self._pools[event.segment], end - event.wall))
        self.walls[event.segment].append(event.wall)
        self.waits[pool].append(max(0.0, end - event.wall - submitted))
        self.pool_wall[pool] += event.wall
        self.pool_cpu[pool] += event.cpu
        self.peak_of_segment[event.segment] = max(self.peak_of_segment[event.segment], event.peak_memory)
        worker = pool, event.host, event.pid
        self.peaks[worker] = max(self.peaks.get(worker, 0), event.peak_memory)
        if self.occupancy is None:  # the line of the submission is damaged
            self.occupancy = Occupancy(end - event.wall)
        self.occupancy.add(worker, end - event.wall, end)
        self.bytes_read += event.bytes
        if self._reads_source[event.segment] and event.what == "map":
            self.events_read += event.events
        for name, (calls, wall, cpu, events_in, events_out) in event.stages.items():
            row = self.stages.get(name)
            if row is None:
                row = self.stages[name] = [0, 0.0, 0.0, 0, 0]
            row[0] += calls  # not in a loop: this is most of the work of long logs
            row[1] += wall
            row[2] += cpu
            row[3] += events_in
            row[4] += events_out
        if event.what == "map":
            for span in event.done:
                add(self._done[event.segment], span)

    def _lost(self, event: TaskLost) -> None:
        self.open.pop(event.task, None)
        self.causes.lost(event)

    def _retried(self, _event: TaskRetried) -> None:
        self.causes.retried += 1

    def _block(self, event: BlockChanged) -> None:
        self.blocks(event)
        self.block_states[event.pool, event.block, event.job or str(event.pid or "")] = event.state

    def _node(self, event: NodeSeen) -> None:
        self.nodes[event.pool, event.node] = event


def read_log(path: Path, plan: Plan) -> RunLog:
    """Return what an event log says. A half-written last line is left out.

    Raises
    ------
    ConfigError
        A newer version of this package has written it.
    """
    log = RunLog(plan)

    def damaged(_line: int) -> None:
        log.damaged += 1

    for event in read_events(path, damaged):
        log(event)
    return log


def events_of(plan: Plan, spans: list[Span], span: Span) -> int:
    """Return the events of partitions `spans` that are in `span`."""
    inside = [(max(first, span[0]), min(last, span[1])) for first, last in spans]
    return sum(plan.events_in(*part) for part in inside if part[1] > part[0])
