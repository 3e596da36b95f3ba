"""What exactly ran: software, code, nodes and input files, with hashes; long lists are cut, with their counts."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from fasthep_parsl.plan import Plan, PlanDataset, PlanFile
from fasthep_parsl.report.models import EqualNodes, FactorRow, Hashed, InputList, Physics, Provenance
from fasthep_parsl.report.run_log import RunLog
from fasthep_parsl.resources.units import format_memory

MAX_CODE, MAX_NODES, MAX_GROUPS = 60, 12, 20
MAX_DATASETS, MAX_FILES = 60, 8
MAX_VARIATIONS = 60


def provenance_of(plan: Plan, log: RunLog, summary: Mapping[str, Any]) -> Provenance:
    """Return what ran."""
    code = [Hashed(file.path or file.name, file.sha256, file.why) for file in (*plan.code, *plan.files)]
    code += [Hashed(file.path, file.sha256, ", ".join(map(str, file.uses))) for file in plan.parameter_files]
    versions: dict[str, str] = dict(plan.software)
    for name, version in summary.get("versions", {}).items():  # the longer one also has the hash of a checkout
        versions[name] = max(str(version), versions.get(name, ""), key=len)
    started = log.started
    facts = [
        ("workflow", plan.workflow),
        ("plan", started.plan if started else str(summary.get("plan_hash", ""))),
        ("site", plan.site),
        ("backend and strategy", f"{plan.backend}, {plan.strategy}"),
        ("environment of workers", plan.environment.kind if plan.environment else ""),
        ("driver", f"{started.host}, process {started.pid}" if started else ""),
        ("most events per partition", f"{plan.chunk_size:,}"),
    ]
    return Provenance(
        tuple((name, text) for name, text in facts if text),
        tuple(sorted(versions.items())),
        tuple(code[:MAX_CODE]),
        max(0, len(code) - MAX_CODE),
        _nodes(log),
        tuple(_inputs(dataset) for dataset in plan.datasets[:MAX_DATASETS]),
        max(0, len(plan.datasets) - MAX_DATASETS),
        sum(len(dataset.files) for dataset in plan.datasets),
    )


def _nodes(log: RunLog) -> tuple[EqualNodes, ...]:
    names: dict[tuple[str, str, str, str], list[str]] = defaultdict(list)
    for event in log.nodes.values():
        gpus = ", ".join(sorted({str(gpu.get("name", "")) for gpu in event.gpus}))
        names[event.system, event.cpu, event.python, gpus].append(event.node)
    return tuple(
        EqualNodes(tuple(sorted(found)[:MAX_NODES]), max(0, len(found) - MAX_NODES), *facts)
        for facts, found in list(names.items())[:MAX_GROUPS]
    )


def _inputs(dataset: PlanDataset) -> InputList:
    shown = [Hashed(file.path, file.uuid, _size(file)) for file in dataset.files[:MAX_FILES]]
    return InputList(dataset.name, len(dataset.files), fingerprint(dataset), tuple(shown))


def fingerprint(dataset: PlanDataset) -> str:
    """Return the hash of a list of input files: of path, UUID, events and bytes of each."""
    digest = hashlib.sha256()
    for file in dataset.files:
        line = f"{file.path}\t{file.uuid}\t{file.entries}\t{file.size}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _size(file: PlanFile) -> str:
    size = f", {format_memory(file.size)}" if file.size > 0 else ""
    return f"{file.entries:,} events{size}"


def physics_of(plan: Plan, summary: Mapping[str, Any]) -> Physics:
    """Return how datasets were normalised, and the systematic variations."""
    datasets: Mapping[str, Mapping[str, Any]] = summary.get("normalisation", {}).get("datasets", {})
    rows = [_factor(name, found) for name, found in datasets.items()]
    groups: dict[str, list[str]] = defaultdict(list)
    reach: dict[str, str] = {}
    for variation in plan.variations:
        groups[variation.group].append(variation.name)
        reach[variation.group] = "all datasets" if variation.datasets is None else ", ".join(variation.datasets[:8])
    listed = [(group, tuple(names), reach[group]) for group, names in groups.items()]
    return Physics(
        tuple(rows[:MAX_DATASETS]),
        max(0, len(rows) - MAX_DATASETS),
        tuple(listed[:MAX_VARIATIONS]),
        max(0, len(listed) - MAX_VARIATIONS),
        len(plan.variations),
    )


def _factor(name: str, found: Mapping[str, Any]) -> FactorRow:
    if found["method"] == "data":
        return FactorRow(name, "1", "data")
    if found["factor"] is None:
        return FactorRow(name, "", "", str(found["why"]))
    made = f"{found['luminosity']:g} /pb × {found['xsec']:g} pb ÷ {found['sum']:.6g} ({found['source']})"
    return FactorRow(name, f"{found['factor']:.6g}", made)
