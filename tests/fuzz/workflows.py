"""Whole workflows against loops: random files, chunks, pools; workers that are killed."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from fuzz import workflow_files as files
from fuzz.op_cases import difference, plain
from fuzz.values import Field
from fuzz.workflow_stages import Events, Stage, cutflow, define, hist, select

KILL = '''
import os, signal
from pathlib import Path
import numpy as np
from fasthep_parsl import op

@op("fuzz.kill", reads=["id"], per_partition=True)
def kill(events, *, at: int, once: str):
    """Kill the worker where event `at` is, once."""
    if at in np.asarray(events["id"]):
        try:
            Path(once).touch(exist_ok=False)
        except FileExistsError:
            return {}
        os.kill(os.getpid(), signal.SIGKILL)
    return {}
'''


@dataclass
class Workflow:
    """A workflow with its files in a folder, and what must come of it."""

    content: dict[str, Any]
    expected: dict[str, dict[str, Any]]
    chunk: int
    events: dict[str, int]
    limit: int | None = None


def one_workflow(seed: str, *, backend: str = "local", kill: bool = False) -> tuple[bool, str]:
    """Run the workflow of a seed; return that it ran, and how its results differ."""
    random = Random(f"workflow {seed}")
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    before = os.environ.get("FASTHEP_PARSL_CACHE")
    os.environ["FASTHEP_PARSL_CACHE"] = str(folder / "cache")
    try:
        made = make(random, folder, backend, kill=kill)
        why = _run(made, folder)
        listing = "\n".join(f"{p.name}: {_about(p)}" for p in sorted(folder.glob("*.txt")))
        return (
            True,
            f"seed {seed}, backend {backend}:\n{json.dumps(made.content)}\nchunk {made.chunk}, limit {made.limit}\n{listing}\n{why}"
            if why
            else "",
        )
    finally:
        os.environ.pop("FASTHEP_PARSL_CACHE")
        if before is not None:
            os.environ["FASTHEP_PARSL_CACHE"] = before
        shutil.rmtree(folder, ignore_errors=True)


def _about(path: Path) -> str:
    return path.read_text()[:1500]


def make(random: Random, folder: Path, backend: str, *, kill: bool) -> Workflow:
    """Write the files of a random workflow."""
    kind = random.choice(["root_tree", "root_tree", "parquet"])
    spec = files.layout(random, kind)
    datasets: dict[str, list[str]] = {}
    parts: dict[str, Events] = {}
    for name in ("a", "b")[: random.randint(1, 2)]:
        written = []
        for number in range(random.randint(1, 3)):
            clusters = [random.choice([0, 1, 3, 6, 9]) for _ in range(random.randint(1, 4))]
            fields = files.events(random, spec, sum(clusters))
            path = folder / f"{name}{number}{'.parquet' if kind == 'parquet' else '.root'}"
            files.write(path, files.other_widths(random, fields), clusters)
            path.with_suffix(".txt").write_text("\n".join(f"{n}: {f.dtype} {f.data}" for n, f in fields.items()))
            written.append((path, fields, sum(clusters)))
        datasets[name] = [str(path) for path, _, _ in written]
        parts[name] = _joined([(fields, number) for _, fields, number in written])
    limit = random.choice([None, None, 1, 5, 12])
    parts = {name: _first(events, limit) for name, events in parts.items()}
    stages = _stages(random, parts)
    pools = (
        {"default": {"workers": 1}, "other": {"workers": 1}} if random.random() < 0.5 else {"default": {"workers": 2}}
    )
    listed = [stage.spec for stage in stages]
    for stage in listed:
        if len(pools) > 1 and random.random() < 0.4:
            stage["execution"] = {"require": random.choice(list(pools))}
    content: dict[str, Any] = {
        "version": "1.0",
        "data": {"datasets": [{"name": name, "files": its} for name, its in datasets.items()]},
        "sources": {"events": {"kind": kind, **({"tree": "Events"} if kind == "root_tree" else {})}},
        "analysis": {"stages": listed},
        "execution": {"backend": backend, "strategy": "local", "pools": pools},
    }
    if kill:
        (folder / "kill_ops.py").write_text(KILL)
        content["use"] = {"modules": ["kill_ops.py"]}
        at = random.randint(0, max(number for _, number in parts.values()))
        listed.insert(0, {"id": "Kill", "op": "fuzz.kill", "params": {"at": at, "once": str(folder / "once")}})
        for stage in listed[1:]:
            stage["needs"] = stage.get("needs") or ["Kill"]
    (folder / "flow.yaml").write_text(
        json.dumps(content, allow_nan=True).replace("-Infinity", "-.inf").replace("Infinity", ".inf")
    )
    return Workflow(
        content,
        {stage.spec["id"]: stage.result for stage in stages if stage.product},
        random.choice([1, 3, 7, 20, 1000]),
        {name: number for name, (_, number) in parts.items()},
        limit,
    )


def _first(events: Events, limit: int | None) -> Events:
    """Return the first events."""
    fields, number = events
    cut = {name: Field(f.kind, f.depth, f.data[:limit], f.dtype, f.structure) for name, f in fields.items()}
    return cut, number if limit is None else min(number, limit)


def _joined(written: list[Events]) -> Events:
    first = written[0][0]
    return {
        name: Field(f.kind, f.depth, tuple(x for fields, _ in written for x in fields[name].data), f.dtype, f.structure)
        for name, f in first.items()
    }, sum(number for _, number in written)


def _stages(random: Random, parts: dict[str, Events]) -> list[Stage]:
    """Return stages with their results: streams branch now and then, and end in histograms."""
    streams: dict[str, dict[str, Events]] = {"": parts}
    found: list[Stage] = []
    for number in range(random.randint(2, 7)):
        make_one = random.choice([define, define, select, cutflow, hist, hist])
        source = random.choice(list(streams)[-2:])
        stage = make_one(random, f"S{number}", list(streams[source].values()))
        if stage is None:
            continue
        stage.spec["needs"] = [source] if source else []
        _follow(stage, streams, source)
        found.append(stage)
    if not any(stage.product for stage in found):
        stage = hist(random, "Last", list(parts.values())) or cutflow(random, "Last", list(parts.values()))
        if stage is None:
            return _stages(random, parts)
        stage.spec["needs"] = []
        _follow(stage, streams, "")
        found.append(stage)
    return found


def _follow(stage: Stage, streams: dict[str, dict[str, Events]], source: str) -> None:
    if stage.stream:
        streams[stage.spec["id"]] = {name: stage.stream(events) for name, events in streams[source].items()}
    if stage.product:
        each = {name: stage.product(events, name) for name, events in streams[source].items()}
        stage.result = _sum_of(each, {name: number for name, (_, number) in streams[""].items()})


def _sum_of(each: dict[str, dict[str, Any]], events: dict[str, int]) -> dict[str, Any]:
    """Return what is expected of all datasets together; `events` is how many were read of each."""
    first = next(iter(each.values()))
    if "#table" in first:
        return {
            # a dataset without events has no rows
            "#tables": {name: its["#table"] for name, its in each.items() if events[name]},
            "#nan": sum(its["#nan"] for its in each.values()),
        }
    bins: dict[Any, Any] = {}
    for its in each.values():
        for key, sums in its["#bins"].items():
            bins[key] = tuple(a + b for a, b in zip(bins.get(key, (0.0, 0.0)), sums, strict=False))
    return {
        "#bins": bins,
        "#none": sum(i["#none"] for i in each.values()),
        "#nan": sum(i["#nan"] for i in each.values()),
    }


def _run(made: Workflow, folder: Path) -> str:
    import fasthep_parsl

    try:
        outcome = fasthep_parsl.run(
            folder / "flow.yaml", outdir=folder / "run", chunk_size=made.chunk, limit=made.limit, plots=False
        )
    except Exception as error:  # noqa: BLE001 - every one of these workflows is right
        return f"{type(error).__name__}: {error}"
    if outcome.status != "complete":
        return f"{outcome.status}: {outcome.error} {outcome.summary['failures'][:2]}"
    total = sum(made.events.values())
    if outcome.summary["events"]["done"] != total:
        return f"{outcome.summary['events']} of {total}"
    for (stage, _), product in outcome.products.items():
        why = difference(("values", _seen(product, made.events)), ("values", made.expected[stage]), 1e-9)
        if why:
            return f"{stage}: {why}"
    return _files(folder / "run", made)


def _seen(product: Any, events: dict[str, int]) -> dict[str, Any]:
    if hasattr(product, "rows"):
        rows = {name: [[r.selection, r.label, r.n_in, r.n_out, r.sumw_in, r.sumw_out, r.sumw2_in, r.sumw2_out] for r in its]
                for name, its in product.rows.items() if its and its[0].n_in + events.get(name, 0)}  # fmt: skip
        return {"#tables": rows, "#nan": product.nan}
    return plain(product)


def _files(run: Path, made: Workflow) -> str:
    """Return what is wrong with the files of results: they are JSON, and there is one for each product."""

    def refuse(token: str) -> None:
        raise ValueError(f"{token} is not JSON")

    for path in [*run.rglob("*.json"), *run.glob("events.jsonl")]:
        for text in path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]:
            try:
                json.loads(text, parse_constant=refuse)
            except ValueError as error:
                return f"{path.relative_to(run)}: {error}"
    missing = [stage for stage in made.expected if not list((run / "results" / stage).glob("*.json"))]
    return f"no results of {missing}" if missing else ""
