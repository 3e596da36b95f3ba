"""``fasthep-parsl plan``: each stage → pool → why, pools, partitions, segments; a graph; who set a value."""

from __future__ import annotations

from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table

from fasthep_parsl.driver.api import compile_plan, load
from fasthep_parsl.errors import ConfigError, Problem, suggest
from fasthep_parsl.plan import Plan, PlanPool
from fasthep_parsl.resources.units import format_memory
from fasthep_parsl.workflow.yamldoc import Document, Path_


def show_plan(
    workflow: Path,
    site: str,
    overrides: list[str],
    chunk_size: int | None,
    *,
    as_json: bool,
    graph: bool,
    explain: str | None,
) -> None:
    """Print the plan in the form asked for."""
    if explain is not None:
        typer.echo(explain_key(load(workflow, site, overrides).document, explain))
        return
    plan = compile_plan(workflow, site, overrides=overrides, chunk_size=chunk_size)
    if as_json:
        typer.echo(plan.model_dump_json(indent=1))
    elif graph:
        typer.echo(mermaid(plan))
    else:
        _tables(plan, Console())


def _tables(plan: Plan, console: Console) -> None:
    files = sum(len(dataset.files) for dataset in plan.datasets)
    head = (
        f"plan {plan.hash[:8]} · {plan.name} on {plan.site} · {len(plan.stages)} stages · {len(plan.datasets)} datasets"
        f" · {files:,} files · {plan.entries:,} events · {plan.partitions:,} partitions of ≤ {plan.chunk_size:,}"
    )
    console.print(head, highlight=False, markup=False, soft_wrap=True)
    console.print()
    console.print(_stages(plan))
    console.print()
    console.print(_pools(plan))
    console.print()
    console.print(_segments(plan))
    for warning in plan.warnings:
        console.print(f"warning: {warning}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    console.print("\nnothing was started", highlight=False, style="dim")


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column.strip("#"), justify="right" if column.startswith("#") else "left", overflow="fold")
    return table


def _stages(plan: Plan) -> Table:
    table = _table("stage", "op", "pool", "why", "after")
    for stage in plan.stages:
        table.add_row(stage.id, stage.op, stage.pool, stage.why, ", ".join(stage.needs) or "source")
    return table


def _pools(plan: Plan) -> Table:
    table = _table("pool", "#workers", "per worker", "provider", "#blocks", "")
    for pool in plan.pools:
        note = "" if pool.used else "not used: starts no workers"
        table.add_row(pool.name, str(pool.workers), _quantities(pool), pool.provider, str(pool.blocks), note)
    return table


def _quantities(pool: PlanPool) -> str:
    parts = [f"{pool.cpus} cpu", format_memory(pool.memory)]
    parts += [f"{pool.gpus} gpu"] if pool.gpus else []
    return " ".join(parts)


def _segments(plan: Plan) -> Table:
    table = _table("#segment", "pool", "reads", "#columns", "stages", "#partitions", "#tasks")
    for segment in plan.segments:
        source = f"stream of {segment.input}" if segment.input else "source"
        pool = plan.pool(segment.pool)
        partitions = plan.partitions if segment.scope == "partition" else 0
        few = min(partitions, 4 * pool.workers)
        calls = {"workflow": "1", "dataset": str(len(plan.datasets))}
        tasks = calls.get(segment.scope) or (f"≥ {few}" if partitions > few else str(partitions))
        table.add_row(
            str(segment.id),
            segment.pool,
            source,
            str(len(segment.columns)),
            " ".join(segment.stages),
            f"{partitions:,}" if partitions else "–",
            tasks,
        )
    return table


def mermaid(plan: Plan) -> str:
    """Return the graph of stages, grouped by segment, as Mermaid text."""
    lines = ["flowchart TD", f'  source[("{plan.source.name}<br/>{plan.entries:,} events")]']
    for segment in plan.segments:
        lines.append(f'  subgraph s{segment.id}["segment {segment.id} · pool {segment.pool}"]')
        for name in segment.stages:
            stage = plan.stage(name)
            left, right = ("[", "]") if stage.stream else ("([", "])")
            lines.append(f'    {_node(name)}{left}"{name}<br/>{stage.op}"{right}')
        lines.append("  end")
    for stage in plan.stages:
        lines.append(f"  {_node(stage.input) if stage.input else 'source'} --> {_node(stage.id)}")
        lines += [f"  {_node(bind.node)} -. {bind.port} .-> {_node(stage.id)}" for bind in stage.bind]
        others = set(stage.needs) - {stage.input} - {bind.node for bind in stage.bind}
        lines += [f"  {_node(node)} -.-> {_node(stage.id)}" for node in sorted(others)]
    return "\n".join(lines)


def _node(name: str) -> str:
    return "n_" + "".join(char if char.isalnum() else "_" for char in name)


def explain_key(document: Document, key: str) -> str:
    """Say what a value is and which layer and line set it.

    Parameters
    ----------
    document : Document
        The merged document.
    key : str
        Dotted path below the top, or below ``execution``: ``pools.gpu.memory`` is found in
        ``execution.pools.gpu.resources.memory`` too.

    Raises
    ------
    ConfigError
        Nothing is set there; the hint has what is.
    """
    path = _find(document, tuple(key.split(".")))
    value = document.data
    for step in path:
        value = value[step]
    where = document.marks.value(path)
    place = f" at {where}" if where is not None else ""
    return f"{'.'.join(str(step) for step in path)} = {value!r}\n  set by {document.marks.layer(path)}{place}"


def _find(document: Document, steps: Path_) -> Path_:
    candidates: list[Path_] = [steps, ("execution", *steps)]
    if len(steps) == 3 and steps[0] == "pools":  # the two spellings of a pool's quantities
        candidates.append(("execution", "pools", steps[1], "resources", steps[2]))
        name = document.data.get("execution", {}).get("pools", {}).get(steps[1], {}).get("resources")
        if isinstance(name, str):
            candidates.append(("execution", "resources", name, steps[2]))
    for path in candidates:
        if document.has(path):
            return path
    base: Path_ = ("execution",)
    value = document.data.get("execution", {})
    for step in steps[:-1]:
        value = value.get(step, {}) if isinstance(value, dict) else {}
        base = (*base, step)
    known = list(value) if isinstance(value, dict) else []
    hint = suggest(str(steps[-1]), known, what="set there") if known else "see `plan --json` for all values"
    raise ConfigError(Problem("E165", f"nothing sets `{'.'.join(str(s) for s in steps)}`; the default holds", hint=hint))
