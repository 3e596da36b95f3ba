"""Backend parsl gives what backend local gives, on the pools that the plan says, and leaves nothing behind."""

from __future__ import annotations

import json
import math
import os
import shutil
from pathlib import Path

import psutil
import pytest

import fasthep_parsl
from fasthep_parsl.demo import write_demo_data

ROOT = Path(__file__).parents[2]
FEW, MANY = 120, 2000
CHUNKS = [(FEW, 1), (MANY, 100), (MANY, None)]


@pytest.fixture(scope="module")
def workspaces(tmp_path_factory):
    """Number of events → a folder with the configs and as many events of demo data."""
    found = {}
    for events in (FEW, MANY):
        found[events] = tmp_path_factory.mktemp(f"events-{events}")
        shutil.copytree(ROOT / "configs", found[events] / "configs")
        write_demo_data(found[events] / "demo" / "data", events, file_events=MANY // 5)
    return found


@pytest.fixture(scope="module")
def run_config(workspaces):
    """Run a config once per set of arguments; returns the outcome and what was seen of its workers."""
    known = {}

    def run(name, events, chunk, backend, *settings):
        key = (name, events, chunk, backend, settings)
        if key not in known:
            folder = workspaces[events]
            outdir = folder / "-".join(str(part) for part in ("run", name, chunk, backend, len(known)))
            seen = Seen()
            overrides = [f"execution.backend={backend}", *settings]
            outcome = fasthep_parsl.run(
                folder / "configs" / f"{name}.yaml",
                outdir=outdir,
                overrides=overrides,
                chunk_size=chunk,
                plots=False,
                observer=seen,
            )
            known[key] = outcome, seen
        return known[key]

    return run


class Seen:
    """Looks at processes while they are alive: in which group each task ran, and which groups each pool has."""

    def __init__(self):
        self.events = []
        self.groups = {}
        self.ran_in = []

    def __call__(self, event):
        self.events.append(event)
        if event.kind == "pool":
            self.groups.setdefault(event.pool, set()).update(event.jobs)
        if event.kind == "finished" and event.pid != os.getpid():
            self.ran_in.append((event.segment, os.getpgid(event.pid), psutil.Process(event.pid).cmdline()))


def results(run_dir):
    return {
        str(path.relative_to(run_dir)): json.loads(path.read_text())
        for path in sorted((run_dir / "results").rglob("*.json"))
    }


def differences(one, other, where=""):
    """Yield where two JSON contents differ; integers must be equal, others to 1e-12."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        for key, value in one.items():
            yield from differences(value, other[key], f"{where}/{key}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, (a, b) in enumerate(zip(one, other, strict=True)):
            yield from differences(a, b, f"{where}[{number}]")
    elif isinstance(one, float) and isinstance(other, float) and not (one.is_integer() and other.is_integer()):
        if not math.isclose(one, other, rel_tol=1e-12, abs_tol=1e-12):
            yield where, one, other
    elif one != other:
        yield where, one, other


@pytest.mark.parametrize(("events", "chunk"), CHUNKS)
@pytest.mark.parametrize("name", ["dimuon", "heterogeneous", "gpu_inference"])
def test_results_equal_those_of_the_local_backend(run_config, name, events, chunk):
    if (name, events) == ("gpu_inference", FEW):
        pytest.skip("so few events hold no top pair to train with")
    reference, _ = run_config(name, events, None, "local")
    outcome, _ = run_config(name, events, chunk, "parsl")
    assert outcome.status == reference.status == "complete"
    expected, found = results(reference.run_dir), results(outcome.run_dir)
    assert expected
    assert not list(differences(expected, found))


def test_each_stage_runs_on_workers_of_its_pool(run_config):
    outcome, seen = run_config("heterogeneous", MANY, 100, "parsl")
    plan = json.loads((outcome.run_dir / "plan.json").read_text())
    pools = {segment["id"]: segment["pool"] for segment in plan["segments"]}
    assert set(pools.values()) == {"default", "high_memory"}
    assert {segment for segment, _, _ in seen.ran_in} == set(pools)
    assert not seen.groups["default"] & seen.groups["high_memory"]
    for segment, group, _ in seen.ran_in:
        assert group in seen.groups[pools[segment]]


def test_labels_are_names_of_pools_and_processes_are_recorded(run_config):
    outcome, seen = run_config("heterogeneous", MANY, 100, "parsl")
    logs = {path.name for path in (outcome.run_dir / "log" / "parsl" / "000").iterdir() if path.is_dir()}
    assert {"default", "high_memory"} <= logs  # Parsl names the folder after the label
    for pool in ("default", "high_memory"):
        starting = next(e for e in seen.events if e.kind == "pool" and e.interchange and e.pool == pool)
        assert starting.jobs
        assert starting.interchange > 0


def test_a_pool_that_is_not_used_starts_nothing(run_config):
    outcome, seen = run_config("dimuon", FEW, None, "parsl", "execution.pools.spare.workers=1")
    assert outcome.status == "complete"
    assert set(seen.groups) == {"default"}
    assert not (outcome.run_dir / "log" / "blocks" / "spare").exists()


def test_nothing_is_left_after_any_of_these_runs(run_config, workspaces, records):
    for folder in workspaces.values():
        for run_dir in folder.glob("run-*-parsl-*"):
            records(run_dir).assert_nothing_left()
        assert {path.name for path in folder.iterdir() if not path.name.startswith("run-")} == {"configs", "demo"}
