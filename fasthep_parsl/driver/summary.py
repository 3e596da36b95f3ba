"""Content of ``run.json`` and ``missing.json``: the summary of a run, counted from its events."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from typing import Any

from fasthep_parsl import registry
from fasthep_parsl.blocks.job_tally import JobTally
from fasthep_parsl.driver.credential_tally import CredentialTally
from fasthep_parsl.driver.node_tally import NodeTally
from fasthep_parsl.driver.segment_state import SegmentState
from fasthep_parsl.driver.servers import ServerTally
from fasthep_parsl.events import Event, TaskFinished
from fasthep_parsl.interfaces import Note
from fasthep_parsl.names import file_name
from fasthep_parsl.plan import Plan, PlanParameterFile
from fasthep_parsl.tasks import Span
from fasthep_parsl.version import __version__
from fasthep_parsl.worker.spans import count, subtract, union

SCHEMA_VERSION = 1
MAX_FAILURES = 1000
"""Failures listed in ``run.json``; all of them are in ``events.jsonl``."""
_PACKAGES = ("parsl", "awkward", "uproot", "hist", "numpy", "pydantic")


class Tally:
    """Sums over the events of a run; call it with each event.

    Attributes
    ----------
    stages : dict
        Stage (or ``read``, ``store``, ``merge``) → calls, wall s, CPU s, events in, events out.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.stages: dict[str, list[float]] = {}
        self.tasks: Counter[int] = Counter()
        self.peak: Counter[int] = Counter()
        self.counts: Counter[str] = Counter()
        self.events = 0
        self.bytes = 0
        self.blocks = JobTally()
        self.nodes = NodeTally(plan)
        self.credentials = CredentialTally()
        self.servers = ServerTally()
        self._notes: dict[str, dict[str, Note]] = {}
        self._call_notes: dict[tuple[int, int], Mapping[str, Mapping[str, Note]]] = {}

    def __call__(self, event: Event) -> None:
        """Add an event."""
        self.counts[event.kind] += 1
        self.blocks(event)
        self.nodes(event)
        self.credentials(event)
        self.servers(event)
        if not isinstance(event, TaskFinished):
            return
        self.tasks[event.segment] += 1
        self.peak[event.segment] = max(self.peak[event.segment], event.peak_memory)
        self.bytes += event.bytes
        if not self._plan.segments[event.segment].input and event.what == "map":
            self.events += event.events
        for name, values in event.stages.items():
            row = self.stages.setdefault(name, [0, 0.0, 0.0, 0, 0])
            for index, value in enumerate(values):
                row[index] += value
        if event.what == "call":  # a call that is repeated on more events replaces the first
            self._call_notes[event.segment, event.dataset] = event.notes
        else:
            _join(self._notes, event.notes)

    def notes(self) -> dict[str, dict[str, Note]]:
        """Return modifier → stage → note, merged over all workers."""
        found: dict[str, dict[str, Note]] = {}
        for notes in (self._notes, *self._call_notes.values()):
            _join(found, notes)
        return found


def _join(known: dict[str, dict[str, Note]], more: Mapping[str, Mapping[str, Note]]) -> None:
    """Merge notes into `known`."""
    for modifier, notes in more.items():
        merge = registry.load("modifiers", modifier).merge
        stages = known.setdefault(modifier, {})
        for stage, note in notes.items():
            stages[stage] = merge(stages[stage], note) if stage in stages else note


def missing_partitions(states: Iterable[SegmentState], plan: Plan) -> list[Span]:
    """Return the partitions that are missing in any result."""
    everything = [(0, plan.partitions)]
    missing: list[Span] = []
    for state in states:
        if state.segment.scope == "partition":
            missing += subtract(everything, state.done)
    return union(missing)


def run_summary(plan: Plan, states: list[SegmentState], tally: Tally, **facts: Any) -> dict[str, Any]:
    """Return the content of ``run.json``.

    Parameters
    ----------
    plan : Plan
        The plan.
    states : list of SegmentState
        The states at the end.
    tally : Tally
        Sums over the events.
    **facts
        ``status``, ``exit_code``, ``seconds`` …; put first.
    """
    missing = missing_partitions(states, plan)
    absent = sum(plan.events_in(*span) for span in missing)
    failures = [failure for state in states for failure in state.failures]
    failed = union((f.partition, f.partition + 1) for f in failures if f.partition >= 0)
    return {
        "schema_version": SCHEMA_VERSION,
        **facts,
        "workflow": plan.workflow,
        "site": plan.site,
        "backend": plan.backend,
        "plan_hash": plan.hash,
        "limit": plan.limit,
        "partitions": {
            "total": plan.partitions,
            "done": plan.partitions - count(missing),
            "failed": count(failed),
            "missing": count(missing),
        },
        "events": {"total": plan.entries, "done": plan.entries - absent, "read": tally.events},
        "file_names": {d.name: file_name(d.name) for d in plan.datasets if file_name(d.name) != d.name},
        "bytes_read": tally.bytes,
        "tasks": dict(tally.counts),
        "stages": {stage.id: _stage(plan, stage.id, tally) for stage in plan.stages},
        "other": {name: _row(row) for name, row in tally.stages.items() if name in ("read", "store", "merge")},
        "pools": {
            pool.name: {
                "strategy": pool.provider,
                "workers": pool.workers,
                "blocks": pool.blocks,
                "used": pool.used,
                **(tally.blocks.summary(pool.name) if pool.block else {}),
            }
            for pool in plan.pools
        },
        "storage": tally.servers.summary(),
        "nodes": tally.nodes.groups(),
        "failed_nodes": tally.nodes.failed(),
        "credentials": tally.credentials.summary(),
        "left": [{"pool": job.pool, "job": job.job} for job in tally.blocks.left()],
        "blocked": {"/".join(s.segment.stages): s.blocked for s in states if s.blocked},
        "failures": [_failure(plan, failure) for failure in failures[:MAX_FAILURES]],
        "parameter_files": [_parameter_file(file) for file in plan.parameter_files],
        "warnings": [*plan.warnings, *tally.nodes.warnings(), *tally.servers.warnings(), *_empty_regions(plan, tally)],
        "versions": versions(),
    }


def _empty_regions(plan: Plan, tally: Tally) -> list[str]:
    """Warn of regions without an event, if events reached their selections."""
    passed: dict[str, int] = {}
    for stage in plan.stages:
        row = tally.stages.get(stage.id)
        if stage.region and stage.stream and not stage.variation and row is not None and row[3]:
            passed[stage.region] = passed.get(stage.region, 0) + int(row[4])
    return [f"region `{region}`: no event is in it; its histograms are empty" for region, n in passed.items() if not n]


def _stage(plan: Plan, stage: str, tally: Tally) -> dict[str, Any]:
    segment = next(segment for segment in plan.segments if stage in segment.stages)
    planned = plan.stage(stage)
    copied = {"nominal": planned.nominal, "variation": planned.variation} if planned.variation else {}
    return {
        **copied,
        "pool": segment.pool,
        "segment": segment.id,
        "tasks": tally.tasks[segment.id],
        "peak_memory": tally.peak[segment.id],
        **_row(tally.stages.get(stage, [0, 0.0, 0.0, 0, 0])),
    }


def _row(row: list[float]) -> dict[str, Any]:
    return {
        "calls": int(row[0]),
        "wall_seconds": round(row[1], 6),
        "cpu_seconds": round(row[2], 6),
        "events_in": int(row[3]),
        "events_out": int(row[4]),
    }


def _parameter_file(file: PlanParameterFile) -> dict[str, Any]:
    return {**file.model_dump(include={"name", "sha256", "size", "path"}), "uses": [str(use) for use in file.uses]}


def _failure(plan: Plan, failure: Any) -> dict[str, Any]:
    content = asdict(failure)
    if failure.partition >= 0:
        dataset, file, start, stop = plan.partition_range(failure.partition)
        content |= {"dataset": dataset.name, "file": file.path, "entry_start": start, "entry_stop": stop}
    return content


def missing_fileset(plan: Plan, spans: Iterable[Span]) -> dict[str, Any]:
    """Return partitions as a fileset in coffea's format: dataset → files → steps."""
    found: dict[str, Any] = {}
    for first, last in spans:
        start = first
        while start < last:  # file by file
            d, number, inside = plan.locate(start)
            dataset, file = plan.datasets[d], plan.datasets[d].files[number]
            edges = file.edges[inside : inside + (last - start) + 1]
            entry = found.setdefault(
                dataset.name, {"files": {}, "metadata": {"eventtype": dataset.eventtype, **dataset.meta}}
            )
            facts: dict[str, Any] = {
                "object_path": plan.source.of(dataset).tree,
                "steps": [],
                "num_entries": file.entries,
                "uuid": None,
                **({"replicas": file.replicas} if file.replicas else {}),
            }
            listed = entry["files"].setdefault(file.path, facts)
            listed["steps"] += map(list, pairwise(edges))
            start += len(edges) - 1
    return found


def versions() -> dict[str, str]:
    """Return the versions of the libraries that compute, without importing them."""
    found = {"python": platform.python_version(), "fasthep-parsl": __version__}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
