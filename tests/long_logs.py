"""Event logs of runs with very many tasks, written without running them."""

from __future__ import annotations

import zlib
from datetime import UTC, datetime
from pathlib import Path

from fasthep_parsl.events import (
    BlockChanged,
    EventLogHeader,
    PartitionFailed,
    RunEnded,
    RunStarted,
    TaskFinished,
    TaskLost,
    TaskRetried,
    TaskSubmitted,
)
from fasthep_parsl.events.codec import encode
from fasthep_parsl.events.event import VERSION
from fasthep_parsl.plan import Plan, PlanDataset, PlanFile, PlanPool, PlanSegment, PlanSource, PlanStage
from fasthep_parsl.plan.pools import PlanBlock

BEGIN = datetime(2026, 11, 30, 8, tzinfo=UTC).timestamp()
WORK = 10.0
"""Seconds between the starts of two tasks of a worker."""


def when(second):
    """Return the time of an event."""
    return datetime.fromtimestamp(BEGIN + second, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def wall_of(task):
    """Return the wall time of a task, s: uneven, as in life; workers wait between tasks."""
    return 3.0 + task * 7919 % 97 / 16


def long_plan(partitions, *, stages=8, files=1000, events=10):
    """Return a plan with many partitions of `events` events, in `files` files of four datasets."""
    names = tuple(f"Stage{number}" for number in range(stages))
    each, rest = divmod(partitions, files)
    parts = [each + (number < rest) for number in range(files)]
    listed = [
        PlanFile(
            path=f"root://eospublic.cern.ch//eos/cms/store/sample/{number:06}/0082C29D-E74C-024A-BE9B-97B29EE7A4A2.root",
            entries=count * events,
            size=2_000_000_000,
            uuid=f"0082C29D-E74C-024A-BE9B-{number:012}",
            edges=tuple(range(0, count * events + 1, events)),
        )
        for number, count in enumerate(parts)
    ]
    quarter = -(-files // 4)
    return Plan(
        name="long",
        workflow="long.yaml",
        site="lxplus",
        chunk_size=events,
        source=PlanSource(),
        datasets=tuple(
            PlanDataset(name=f"dataset{d}", files=tuple(listed[d * quarter : (d + 1) * quarter])) for d in range(4)
        ),
        stages=tuple(PlanStage(id=name, op="hep.define") for name in names),
        segments=(PlanSegment(id=0, pool="default", stages=names),),
        pools=(
            PlanPool(
                name="default",
                workers=1000,
                memory=2_000_000_000,
                provider="htcondor",
                workers_per_block=8,
                blocks=125,
                block=PlanBlock(memory=16_000_000_000, cpus=8, walltime=3600.0, workers_per_node=8),
            ),
        ),
    )


def finished(task, time, worker, stages, **changes):
    """Return the result of a task of one partition."""
    memory, host, pid = worker_facts(worker).values()
    facts = {
        "what": "map",
        "segment": 0,
        "done": ((task, task + 1),),
        "dataset": -1,
        "inputs": (),
        "session": "5e55",
        "partial": f"work/segment-0/{task}.5e55.partial",
        "size": 12_345,
        "parts": (((task, task + 1),),),
        "whole": False,
        "broken": (),
        "merged": (),
        "refs": {},
        "events": 10,
        "bytes": 4096,
        "wall": wall_of(task),
        "cpu": 0.75 * wall_of(task),
        "peak_memory": memory,
        "host": host,
        "pid": pid,
        "stages": {"read": (1, 1.0, 0.5, 10, 10), **dict.fromkeys(stages, (1, 0.125, 0.125, 10, 10))},
    }
    return TaskFinished(task=task, time=when(time), **{**facts, **changes})


TASK = 900_000_000
"""Stands for the number of a task in a line that is written for many."""


def pattern(event, **values):
    """Return the line of an event as a pattern, to be filled by `line`: encoding each of very many takes long.

    Parameters
    ----------
    event : Event
        An event of task `TASK`.
    values : object
        Places of the pattern, with what is there in the event.
    """
    body, _, _ = encode(event).rpartition(',"crc":')
    body = body.replace("%", "%%")
    for name, value in values.items():
        assert str(value) in body, name
        body = body.replace(str(value), f"%({name})s")
    return body


def line(pattern, **values):
    """Return the line of an event."""
    body = pattern % values
    return f'{body},"crc":"{zlib.crc32(body.encode()):08x}"}}\n'


def patterns(stages):
    """Return the patterns of a submission and of a result."""
    facts = {"what": "map", "segment": 0, "pool": "default", "partitions": ((TASK, TASK + 1),)}
    numbers = {"next": TASK + 1, "task": TASK, "time": when(0)}
    submitted = pattern(TaskSubmitted(task=TASK, time=when(0), **facts), **numbers)
    result = finished(TASK, 0, 0, stages, wall=1.0625, cpu=2.0625, peak_memory=3_000_003, host="node.x", pid=4_000_004)
    numbers |= {"wall": 1.0625, "cpu": 2.0625, "memory": 3_000_003, "host": "node.x", "pid": 4_000_004}
    return submitted, pattern(result, **numbers)


def worker_facts(worker):
    """Return memory, node and process of a worker."""
    host = f"node{worker // 8:04}.cluster.example"
    return {"memory": 900_000_000 + 100_000 * (worker % 1000), "host": host, "pid": 1000 + worker % 8}


def write_long_log(path: Path, plan, *, workers=1000, failures=0, lost=0, ended=True):
    """Write the log of a run with one task per partition, on workers that are always busy.

    Parameters
    ----------
    path : Path
        The file.
    plan : Plan
        Its plan.
    workers : int
        Worker processes, 8 per node and block.
    failures, lost : int
        The first partitions fail; of others, so many tasks are lost before they finish.
    ended : bool
        Whether the run has ended.
    """
    stages = [stage.id for stage in plan.stages]
    submitted, result = patterns(stages)
    total = plan.partitions
    with path.open("w") as file:

        def write(event):
            file.write(encode(event))

        write(EventLogHeader(version=VERSION, software="test", time=when(0)))
        started = {"host": "submit", "pid": 1, "since": BEGIN, "ticks": 0}
        write(RunStarted(state="started", plan="f00d", session="5e55", time=when(0), **started))
        for block in range(-(-workers // 8)):
            facts = {"pool": "default", "block": block, "job": f"{block}.0"}
            write(BlockChanged(state="submitted", time=when(0), **facts))
            write(BlockChanged(state="up", time=when(60), node=f"node{block:04}.cluster.example", **facts))
        for task in range(total):
            worker, begin = task % workers, 60 + WORK * (task // workers)
            file.write(line(submitted, task=task, next=task + 1, time=when(begin - 2)))
            if failures <= task < failures + lost:
                write(TaskLost(task=task, segment=0, message=f"worker {worker} was lost", time=when(begin)))
                write(TaskRetried(task=task, segment=0, time=when(begin)))
            if task < failures:
                facts = {"cause": "data", "stage": "", "where": "", "detail": "Traceback …\n" * 50}
                message = f"cannot read /data/{task}.root: not a ROOT file"
                failed = {"segment": 0, "partition": task, "message": message, "time": when(begin + WORK)}
                write(PartitionFailed(**failed, **facts))
                write(finished(task, begin + WORK, worker, stages, done=(), events=0))
                continue
            numbers = {"task": task, "next": task + 1, "wall": wall_of(task), "cpu": 0.75 * wall_of(task)}
            file.write(line(result, **numbers, time=when(begin + WORK), **worker_facts(worker)))
        if ended:
            write(RunEnded(status="partial" if failures else "complete", exit_code=3 if failures else 0))
