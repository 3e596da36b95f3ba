"""``plan``: print the stages with their pools, the pools and the segments, as tables, a Mermaid graph or JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from fasthep_parsl.cli.console import Screen, emit, emit_json, print_line
from fasthep_parsl.cli.explain import explain_key
from fasthep_parsl.cli.plan_graph import mermaid
from fasthep_parsl.cli.progress import HeaderLines
from fasthep_parsl.cli.variation_lines import datasets_of, nominal_stages, stages_of, variation_rows
from fasthep_parsl.driver.api import compile_plan, load
from fasthep_parsl.driver.job_scripts import write_scripts
from fasthep_parsl.driver.server_lines import places_of
from fasthep_parsl.plan import Plan, PlanCredential, PlanEnvironment, PlanJoin, PlanModifier, PlanPool, substitutes
from fasthep_parsl.resources.units import counted, format_duration, format_memory

MOST_CODE = 40
"""Most rows of the table of analysis code."""


def show_plan(
    workflow: Path,
    site: str,
    overrides: list[str],
    chunk_size: int | None,
    limit: int | None = None,
    *,
    as_json: bool = False,
    graph: bool = False,
    explain: str | None = None,
    scripts: Path | None = None,
) -> None:
    """Print the plan in one form. Write the job scripts if `scripts` is a folder."""
    if explain is not None:
        emit(
            explain_key(
                load(workflow, site, overrides),
                explain,
                lambda: compile_plan(workflow, site, overrides=overrides, chunk_size=chunk_size, limit=limit),
            )
        )
        return
    lines = HeaderLines(Screen(stderr=True))
    plan = compile_plan(workflow, site, overrides=overrides, chunk_size=chunk_size, limit=limit, progress=lines)
    written = write_scripts(plan, scripts) if scripts is not None else []
    if as_json:
        emit_json({"hash": plan.hash, **plan.model_dump(mode="json")})
    elif graph:
        emit(mermaid(plan))
    else:
        _tables(plan, Screen(), written)


def _tables(plan: Plan, console: Console, written: Sequence[Path]) -> None:
    files = sum(len(dataset.files) for dataset in plan.datasets)
    nominal = len(nominal_stages(plan))
    copies = f" and {len(plan.stages) - nominal} for variations" if len(plan.stages) > nominal else ""
    head = (
        f"plan {plan.hash[:8]} · {plan.name} on {plan.site} · {counted(nominal, 'stage')}{copies}"
        f" · {counted(len(plan.datasets), 'dataset')} · {counted(files, 'file')} · {counted(plan.entries, 'event')}"
        f" · {counted(plan.partitions, 'partition')} of ≤ {plan.chunk_size:,}"
    )
    print_line(console, head)
    for join in plan.source.joins:
        print_line(console, _joined(join))
    if plan.extent:
        unread = sum(dataset.unread_files for dataset in plan.datasets)
        behind = f"; {counted(unread, 'file')} behind them not opened" if unread else ""
        print_line(console, plan.extent + behind, "yellow")
    console.print()
    console.print(_stages(plan))
    _variations(plan, console)
    _modifiers(plan, console)
    console.print()
    console.print(_pools(plan))
    _reasons(plan, console)
    _environment(plan, console)
    console.print()
    console.print(_segments(plan))
    _places(plan, console)
    _code(plan, console)
    _files(plan, console)
    for warning in plan.warnings:
        print_line(console, f"warning: {warning}", "yellow")
    for path in written:
        print_line(console, f"{'wrote' if path == written[0] else '     '} {path}")
    print_line(console, "\nnothing was started", "dim")


def _joined(join: PlanJoin) -> str:
    """Return how a source is joined to the events."""
    how = "by " + ", ".join(key if key == own else f"{key} = {own}" for key, own in join.by.items())
    missing = "; values without a partner are missing" if join.on_mismatch == "missing" else ""
    place = f" in {join.files}" if join.files else ""
    place += f" of {', '.join(join.datasets)}" if join.datasets is not None else ""
    return f"joined `{join.name}`{place} {how if join.by else 'entry by entry'}{missing}"


def _table(*columns: str) -> Table:
    """Return an empty table. ``#`` marks columns of numbers, ``!`` columns that are not wrapped."""
    table = Table(box=None, pad_edge=False)
    for column in columns:
        kind = column[0] if column[:1] in ("#", "!") else ""
        justify: JustifyMethod = "right" if kind == "#" else "left"
        table.add_column(column.removeprefix(kind), justify=justify, no_wrap=bool(kind), overflow="fold")
    return table


def _stages(plan: Plan) -> Table:
    stages = nominal_stages(plan)
    conditions = any(datasets_of(stage, plan) != "all" for stage in stages)
    table = _table("!stage", "!op", "!pool", "why", "after", *(["datasets"] if conditions else []))
    for stage in stages:
        row = (stage.id, stage.op, stage.pool, Text(stage.why), ", ".join(stage.needs) or "source")
        table.add_row(*row, *([datasets_of(stage, plan)] if conditions else []))
    return table


def _variations(plan: Plan, console: Console) -> None:
    """Print the systematic variations, if there are any, with the part of the stages that runs once more for each."""
    if not plan.variations:
        return
    table = _table("!variation", "!group", "datasets", "computes")
    for row in variation_rows(plan):
        item = row.variation
        group = " ".join(filter(None, (item.group, item.direction)))
        table.add_row(item.name, group, datasets_of(item, plan), Text(row.how or "nothing"))
    console.print()
    console.print(table)
    if spare := substitutes(plan.variations):
        console.print(Text(f"in variations only, in no nominal result: {' '.join(sorted(spare))}"))


def _modifiers(plan: Plan, console: Console) -> None:
    """Print the modifiers and their stages, if there are any."""
    groups: dict[str, list[str]] = {}
    nominal = nominal_stages(plan)
    for stage in nominal:
        if stage.modifiers:
            groups.setdefault(", ".join(map(_kind, stage.modifiers)), []).append(stage.id)
    if not groups:
        return
    table = _table("modifiers", "of stages")
    for modifiers, stages in groups.items():
        table.add_row(Text(modifiers), "all" if len(stages) == len(nominal) else " ".join(stages))
    console.print()
    console.print(table)


def _environment(plan: Plan, console: Console) -> None:
    """Print the software and the credentials of workers, if there are any."""
    if plan.environment is not None or plan.credentials:
        console.print()
    if plan.environment is not None:
        print_line(console, f"environment of workers: {_kind(plan.environment)}")
    if plan.credentials:
        print_line(console, f"credentials of workers: {', '.join(map(_kind, plan.credentials))}")


def _kind(item: PlanModifier | PlanEnvironment | PlanCredential) -> str:
    params = " ".join(f"{name}={_shown(value)}" for name, value in item.params.items())
    return f"{item.kind} ({params})" if params else item.kind


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _pools(plan: Plan) -> Table:
    """Return the table of pools. Jobs are shown as: maximum number of jobs × nodes per job × workers per node."""
    if not any(pool.block for pool in plan.pools):
        table = _table("pool", "#workers", "per worker", "")
        for pool in plan.pools:
            table.add_row(pool.name, str(pool.workers), _quantities(pool), _unused(pool))
        return table
    table = _table("!pool", "#workers", "!per worker", "jobs", "queue", "#time", "")
    for pool in plan.pools:
        if pool.block is None:
            continue
        block = pool.block
        nodes = f"{block.nodes} node{'s' if block.nodes > 1 else ''}"
        jobs = f"≤ {pool.blocks} × {nodes} × {block.workers_per_node}"
        time = format_duration(block.walltime)
        row = (pool.name, str(pool.workers), _quantities(pool), jobs, block.queue or "–", time, _unused(pool))
        table.add_row(*row)
    return table


def _unused(pool: PlanPool) -> str:
    return "" if pool.used else "not used"


def _reasons(plan: Plan, console: Console) -> None:
    """Print why the jobs of each used pool are as they are."""
    pools = [pool for pool in plan.pools if pool.used and pool.block]
    if not pools:
        return
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for pool in pools:
        table.add_row(pool.name, Text("; ".join(pool.block.why if pool.block else ())))
    console.print()
    console.print(table)


def _quantities(pool: PlanPool) -> str:
    parts = [f"{pool.cpus} cpu", format_memory(pool.memory)]
    shared = f" for {pool.workers_per_gpu}" if pool.workers_per_gpu > 1 else ""
    parts += [f"{pool.gpus} gpu{shared}"] if pool.gpus else []
    return " ".join(parts)


def _segments(plan: Plan) -> Table:
    table = _table("#segment", "!pool", "reads", "#columns", "stages", "#partitions", "#tasks")
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
            stages_of(segment, plan),
            f"{partitions:,}" if partitions else "–",
            tasks,
        )
    return table


def _places(plan: Plan, console: Console) -> None:
    """Print where files with several places are, if there are any."""
    places = places_of(plan)
    if not places:
        return
    table = _table("#files", "places, in the order in which they are tried")
    for number, servers in places:
        table.add_row(f"{number:,}", Text(servers))
    console.print()
    console.print(table)


def _code(plan: Plan, console: Console) -> None:
    """Print the analysis code and its data, if there are any, with the beginning of their hashes."""
    if not plan.code:
        return
    table = _table("analysis code", "!sha256", "why")
    shown = plan.code if len(plan.code) <= MOST_CODE else plan.code[: MOST_CODE - 1]
    for file in shown:
        table.add_row(Text(file.name), file.sha256[:12], Text(file.why))
    if len(plan.code) > len(shown):
        table.add_row(f"… and {len(plan.code) - len(shown)} more (`--json` shows all)", "", "")
    console.print()
    console.print(table)


def _files(plan: Plan, console: Console) -> None:
    """Print the files that parameters name, if there are any, with the beginning of their hashes."""
    if not plan.parameter_files:
        return
    copies = {stage.id for stage in plan.stages if stage.nominal}
    table = _table("file", "#size", "!sha256", "parameters")
    for file in plan.parameter_files:
        uses = " ".join(map(str, sorted(file.uses, key=lambda use: use.stage in copies)))
        table.add_row(
            Text(f"{file.name}/" if file.folder else file.name), format_memory(file.size), file.sha256[:12], Text(uses)
        )
    console.print()
    console.print(table)
