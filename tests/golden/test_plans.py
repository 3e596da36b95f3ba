"""What the shipped workflows become on the shipped sites, stored as text: a change of routing or cutting is seen.

After a wanted change: ``pytest tests/golden --update-golden``, and look at the difference.
"""

from __future__ import annotations

import difflib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fasthep_parsl.compiler import CompileOptions, compile_workflow
from fasthep_parsl.driver.api import load
from fasthep_parsl.errors import ConfigError
from fasthep_parsl.resources.machine import Machine
from fasthep_parsl.resources.units import format_duration, format_memory
from fasthep_parsl.sites import load_site
from fasthep_parsl.workflow.yamldoc import show_path

ROOT = Path(__file__).parents[2]
STORED = Path(__file__).parent / "plans"
CONFIGS = sorted(path.stem for path in (ROOT / "configs").glob("*.yaml"))
SITES = sorted(path.stem for path in (ROOT / "site_profiles").glob("[!_]*.yaml"))
MACHINE = Machine(cpus=4, memory=16_000_000_000, gpus=0)
CASES = [(config, site) for config in CONFIGS for site in SITES]


EXAMPLES = {
    "environment.prefix": "/shared/example",
    "environment.python": "/image/bin/python3",
    "queues": "{example: {node: {cpus: 32, memory: 128GB, gpus: 4}, walltime: 1d}}",
    "shared_filesystem": "true",
    "strategy.volumes": "{example: /shared}",
}
"""What sites ask of their users, where that is not text."""


def filled_in(site) -> list[str]:
    """Return settings for everything that a site asks its users for."""
    keys = [show_path(item.path) for item in site.requires]
    return [f"{key}={EXAMPLES.get(key, 'example')}" for key in keys]


def describe(plan) -> str:
    """Return what is decided in a plan, without anything that depends on this machine or its files."""
    lines = [f"{plan.name} on {plan.site}: backend {plan.backend}, strategy {plan.strategy}"]
    lines.append(f"chunks of {plan.chunk_size:,} events, read up to {plan.pass_size:,} at once")
    lines += ["", "stages"]
    for stage in plan.stages:
        lines.append(f"  {stage.id} ({stage.op}, per {stage.scope}) → {stage.pool}: {stage.why}")
        lines.append(
            f"    after {', '.join(stage.needs) or 'nothing'}; reads the stream of {stage.input or 'the source'}"
        )
        lines += [f"    takes {bind.node}.{bind.port} as {bind.to}" for bind in stage.bind]
        lines.append(f"    reads {' '.join(stage.reads) or 'nothing'}")
        lines.append(f"    writes {' '.join(stage.writes) or 'nothing'}; keeps {' '.join(stage.keep) or 'nothing'}")
        lines += [f"    inside of {modifier.kind} {modifier.params or ''}" for modifier in stage.modifiers]
    lines += ["", "segments"]
    for segment in plan.segments:
        lines.append(f"  {segment.id} on {segment.pool}, per {segment.scope}: {' '.join(segment.stages)}")
        lines.append(f"    reads {' '.join(segment.columns) or 'nothing'} of {segment.input or 'the source'}")
        lines += [f"    stores {' '.join(columns)} of {stage}" for stage, columns in segment.stores.items()]
        lines += [f"    yields {' '.join(segment.products)}"] if segment.products else []
        lines += [f"    after segments {' '.join(map(str, segment.after))}"] if segment.after else []
    lines += ["", "pools"]
    for pool in plan.pools:
        size = f"{pool.workers} workers of {pool.cpus} cpus, {format_memory(pool.memory)}, {pool.gpus} gpus"
        lines.append(f"  {pool.name}: {size}; {pool.blocks} blocks of {pool.workers_per_block}; {pool.provider}")
        lines += [f"    {pool.workers_per_gpu} workers share a GPU"] if pool.workers_per_gpu > 1 else []
        lines += [f"    {key} = {value!r}" for key, value in sorted(pool.options.items())]
        lines += [f"    {line}" for line in pool.worker_init]
        lines += [f"    python = {pool.python}"] if pool.python else []
        lines += [f"    scratch = {pool.scratch}"] if pool.scratch else []
        lines += [] if pool.shared else ["    without a shared file system"]
        if pool.block is not None:
            lines += _block(pool)
        lines += [] if pool.used else ["    not used"]
    lines += ["", "warnings", *(f"  {warning}" for warning in plan.warnings)]
    text = "\n".join(line.rstrip() for line in lines) + "\n"
    return text.replace(sys.executable, "<prefix>/bin/python").replace(sys.prefix, "<prefix>")


def refused(config, site, error) -> str:
    """Return why there is no plan."""
    lines = [f"{config} on {site}: refused"]
    for problem in error.problems:
        lines += [f"  {problem.code} {problem.key}", f"    {problem.message}", f"    {problem.hint}"]
    return "\n".join(lines) + "\n"


def _block(pool) -> list[str]:
    block, network, scaling = pool.block, pool.network, pool.scaling
    size = f"{block.cpus} cpus, {format_memory(block.memory)}, {block.gpus} gpus"
    size += f", {format_memory(block.disk)} of disk" if block.disk else ""
    whole = " whole" if block.whole_nodes else ""
    where = f"in queue {block.queue}" if block.queue else "without a queue"
    lines = [
        f"    a block is {block.nodes}{whole} nodes of {size} {where} for {format_duration(block.walltime)}",
        *(f"      {text}" for text in block.why),
        f"    driver at {network.address or network.interface or 'any address'}, ports {network.ports or 'any'}",
    ]
    values = scaling.model_dump(exclude_defaults=True)
    return [*lines, *(f"    {key} = {value:g}" for key, value in values.items())]


@pytest.mark.parametrize(("config", "site"), CASES)
def test_the_plan_is_the_stored_one(checkout, request, config, site):
    seen = (
        f"execution.shared_folders=[{checkout}]"  # else input files on this machine are refused where it is not shared
    )
    loaded = load(checkout / "configs" / f"{config}.yaml", site, [*filled_in(load_site(site)), seen])
    try:
        found = describe(compile_workflow(loaded, CompileOptions(site=site, machine=MACHINE)))
    except ConfigError as error:
        found = refused(config, site, error)
    assert str(checkout) not in found
    path = STORED / f"{config}-{site}.txt"
    if request.config.getoption("--update-golden"):
        STORED.mkdir(exist_ok=True)
        path.write_text(found, encoding="utf-8")
        return
    how = "write it with `pytest tests/golden --update-golden`, read it, and commit it"
    if not path.exists():
        pytest.fail(f"there is no stored plan of workflow `{config}` on site `{site}`: {how}")
    stored = path.read_text(encoding="utf-8")
    difference = "".join(difflib.unified_diff(stored.splitlines(True), found.splitlines(True), "stored", "now"))
    assert not difference, f"the plan has changed; if that is wanted, {how}\n{difference}"


def test_no_stored_plan_is_left_over():
    known = {f"{config}-{site}.txt" for config, site in CASES}
    assert {path.name for path in STORED.iterdir()} == known


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.parametrize("config", CONFIGS)
def test_the_hash_is_the_same_in_every_process(checkout, config):
    code = "import sys, fasthep_parsl; print(fasthep_parsl.compile_plan(sys.argv[1]).hash)"
    command = [sys.executable, "-c", code, str(checkout / "configs" / f"{config}.yaml")]
    found = {
        subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=60, env={**os.environ, "PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(found) == 1  # else no run could be resumed
