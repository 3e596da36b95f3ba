"""A session whose workers die on command, without processes."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import Future
from pathlib import Path

import pytest

from fasthep_parsl.driver.scheduler import Scheduler
from fasthep_parsl.driver.segment_state import SegmentState
from fasthep_parsl.errors import PoolError, WorkerLostError
from fasthep_parsl.plan import Plan, PlanDataset, PlanFile, PlanPool, PlanSegment, PlanSource, PlanStage
from fasthep_parsl.tasks import Failure, Ref, TaskResult
from fasthep_parsl.worker.sums import MOST_PARTS, Sums


class ScriptedSession:
    """Stands for a backend: each task ends at once, as the script says.

    Products are counters of partitions, kept in `files`: a partition that is in a sum twice is seen. In `parts` they are
    tuples of partitions: one that is out of order is seen.

    Parameters
    ----------
    plan : Plan
        Its segments say who has products and stored streams.
    kills : set of int
        Partitions that take their worker down, always.
    lose : dict
        Number of a task → how it ends instead (an exception).
    fails : set of int
        Partitions whose op raises.
    broken : set of str
        Pools without workers.
    slots : int
        Workers of each pool.
    """

    def __init__(self, plan, *, kills=(), lose=None, fails=(), broken=(), slots=2):
        self.plan = plan
        self.kills, self.fails, self.broken = set(kills), set(fails), set(broken)
        self.lose = dict(lose or {})
        self._slots = slots
        self.files = {}
        self.parts = {}
        self.tasks = []
        self.priorities = Counter()
        self.most_parts = MOST_PARTS

    def slots(self, pool):
        return self._slots

    def cancel(self):
        raise AssertionError("not in these tests")

    def submit(self, pool, task, priority):
        self.tasks.append(task)
        self.priorities[task.kind, priority] += 1
        future = Future()
        try:
            future.set_result(self._run(pool, task))
        except Exception as error:  # noqa: BLE001  (whatever it is belongs to the future)
            future.set_exception(error)
        return future

    def _run(self, pool, task):
        if task.id in self.lose:
            raise self.lose[task.id]
        if pool in self.broken:
            raise PoolError(f"pool `{pool}` has no workers")
        spans = [*task.partitions, *(span for ref in task.refs for span in ref.partitions)]
        wanted = [p for first, last in spans for p in range(first, last)]
        if task.kind != "merge" and self.kills & set(wanted):
            raise WorkerLostError("worker was killed")
        if task.kind == "merge":
            path = f"merge-{task.id}"
            sums = Sums(lambda _, a, b: a + b, None, self.plan.partitions)
            for partial in task.partials:
                for part in self.parts.pop(partial):
                    sums.add(part.spans, part.products)
            sums.limit(list(task.gaps), self.most_parts)
            self.files[path] = sum((self.files.pop(partial) for partial in task.partials), Counter())
            return TaskResult(id=task.id, partial=path, parts=self._keep(path, sums), whole=task.final)
        good = [p for p in wanted if p not in self.fails]
        failures = tuple(Failure(p, "user", "A", "bad") for p in wanted if p in self.fails)
        segment = self.plan.segments[task.segment]
        partial = f"{task.kind}-{task.id}" if segment.products and (good or task.kind == "call") else ""
        done = tuple((p, p + 1) for p in good)
        parts = ()
        if partial:
            self.files[partial] = Counter(good)
            sums = Sums(lambda _, a, b: a + b, None, self.plan.partitions)
            numbers = [max(task.dataset, 0)] if task.kind == "call" else good
            for number in numbers:
                sums.add([(number, number + 1)], {"A": (number,)})
            parts = self._keep(partial, sums)
        refs = {
            stage: tuple(
                Ref(f"{stage}-{task.id}-{n}", "c", 1, 10 * len(group), 0, tuple(group), (10,) * len(group))
                for n, group in enumerate(_threes(done))
            )
            for stage in segment.stores
        }
        events = sum(self.plan.events_in(*span) for span in done)
        return TaskResult(
            id=task.id,
            partial=partial,
            parts=parts,
            refs=refs,
            done=done if task.kind == "map" else (),
            failures=failures,
            events=events,
            wall=0.01 * len(wanted),
        )

    def _keep(self, path, sums):
        self.parts[path] = sums.parts
        return tuple(part.spans for part in sums.parts)


def _threes(items):
    return [items[n : n + 3] for n in range(0, len(items), 3)]


class Run:
    """A scheduler with a scripted session, run to its end."""

    def __init__(self, plan, **script):
        self.plan = plan
        self.session = ScriptedSession(plan, **script)
        self.states = [SegmentState(plan, segment) for segment in plan.segments]
        self.events = []
        self.error = None

    def go(self):
        Scheduler(self.plan, Path("/nowhere"), self.events.append, self.states).run(self.session)
        return self

    def kinds(self):
        return Counter(event.kind for event in self.events)


@pytest.fixture
def scripted():
    return Run


@pytest.fixture
def make_plan():
    """Build a plan of segments: each (stages, pool, facts), over `partitions` partitions of 10 events."""

    def make(segments, partitions, *, datasets=1, binds=None):
        share = partitions // datasets
        files = PlanFile(path="/a.root", entries=10 * share, edges=tuple(range(0, 10 * share + 1, 10)))
        plan_segments, stages = [], []
        for number, (names, pool, facts) in enumerate(segments):
            plan_segments.append(PlanSegment(id=number, pool=pool, stages=tuple(names), **facts))
            for name in names:
                bind = (binds or {}).get(name, ())
                stages.append(
                    PlanStage(id=name, op="probe", product="p", bind=bind, scope=facts.get("scope", "partition"))
                )
        pools = sorted({pool for _, pool, _ in segments})
        return Plan(
            name="p",
            chunk_size=10,
            source=PlanSource(params={"tree": "Events"}),
            datasets=tuple(PlanDataset(name=f"d{n}", files=(files,)) for n in range(datasets)),
            stages=tuple(stages),
            segments=tuple(plan_segments),
            pools=tuple(PlanPool(name=pool, workers=2) for pool in pools),
        )

    return make
