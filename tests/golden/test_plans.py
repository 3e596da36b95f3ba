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
from fasthep_parsl.resources.machine import Machine
from fasthep_parsl.resources.units import format_memory

ROOT = Path(__file__).parents[2]
STORED = Path(__file__).parent / "plans"
CONFIGS = sorted(path.stem for path in (ROOT / "configs").glob("*.yaml"))
SITES = sorted(path.stem for path in (ROOT / "site_profiles").glob("*.yaml"))
MACHINE = Machine(cpus=4, memory=16_000_000_000, gpus=0)
CASES = [(config, site) for config in CONFIGS for site in SITES]


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
        lines += [f"    {key} = {value!r}" for key, value in sorted(pool.options.items())]
        lines += [f"    {line}" for line in pool.worker_init]
        lines += [] if pool.used else ["    not used"]
    lines += ["", "warnings", *(f"  {warning}" for warning in plan.warnings)]
    return "\n".join(line.rstrip() for line in lines) + "\n"


@pytest.mark.parametrize(("config", "site"), CASES)
def test_the_plan_is_the_stored_one(checkout, request, config, site):
    loaded = load(checkout / "configs" / f"{config}.yaml", site)
    found = describe(compile_workflow(loaded, CompileOptions(site=site, machine=MACHINE)))
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
