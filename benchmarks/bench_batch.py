"""Overhead of a batch system: no-op tasks on blocks of a real Slurm or HTCondor, compared with local processes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench_tasks import WORKFLOW, seconds_of_tasks
from setting import HERE, ROOT, BenchmarkError, Options, Row, middle, read_events, run_workflow, workspace

SITES = {
    "slurm": "extends: generic_slurm\nnetwork: {address: 127.0.0.1}\nqueues: {cpu: {node: {cpus: 8, memory: 32GB}, walltime: 1d}}\n",
    "htcondor": "extends: generic_htcondor\nnetwork: {address: 127.0.0.1}\n",
}
"""The built-in profiles, with the settings that a cluster on one machine needs."""
PARTITIONS = 2000


@contextmanager
def _cluster(kind: str, folder: Path) -> Iterator[None]:
    """Start a cluster of virtual nodes, and put its commands on the path of runs."""
    sys.path.insert(0, str(ROOT / "tests"))
    before = dict(os.environ)
    try:
        if kind == "slurm":
            from services.slurm import SlurmCluster

            slurm = SlurmCluster()
            slurm.start()
            os.environ.update(slurm.env)
            stop = slurm.stop
        else:
            from services.condor import CondorPool

            pool = CondorPool(folder / "pool")
            pool.start()
            os.environ.update(pool.env)
            stop = pool.stop
        try:
            yield
        finally:
            stop()
    finally:
        os.environ.clear()
        os.environ.update(before)


def _measure(folder: Path, data: Path, site: str, run: Path) -> tuple[float, float]:
    """Return the seconds from the start of the first block to the first result, and from there to the last result."""
    workflow = folder / "noop.yaml"
    workflow.write_text(WORKFLOW.format(modules=HERE / "noop_ops.py", data=data))
    run_workflow(workflow, run, "--chunk-size", "10", site=site)
    counted = (run / "results" / "D" / "count.json").read_text().strip()
    if int(counted) != PARTITIONS:
        raise BenchmarkError(f"{counted} of {PARTITIONS} partitions were counted")
    events = read_events(run)
    finished = next(event["at"] for event in events if event["kind"] == "finished")
    nodes = list((run / "log" / "blocks").rglob("block.0.node"))  # the first file that a node writes
    warm = [event["at"] for event in events if event["kind"] == "pool" and event["state"] in {"warming", "starting"}]
    began = nodes[0].stat().st_mtime if nodes else warm[0]
    return finished - began, seconds_of_tasks(run)


def batch(options: Options) -> list[Row]:
    """Measure the time to the first result of a block, and tasks per second, against strategy `local` at the same time."""
    from fasthep_parsl.demo import write_demo_data

    rows = []
    with workspace() as folder:
        data = folder / "data"
        write_demo_data(data, PARTITIONS * 10, datasets={"dy": 1}, file_events=10_000_000)
        for kind, profile in SITES.items():
            site = folder / f"{kind}_here.yaml"
            site.write_text(profile)
            here, there = [], []
            with _cluster(kind, folder):
                for number in range(options.repeats):
                    there.append(_measure(folder, data, str(site), folder / f"{kind}{number}"))
                    here.append(_measure(folder, data, "local", folder / f"{kind}{number}-local"))
            for at, (name, unit) in enumerate(
                (("first block runs → first result", "s"), (f"{PARTITIONS} × 4 no-ops", "s"))
            ):
                mine, other = middle(t[at] for t in there), middle(t[at] for t in here)
                rows.append(Row(f"{kind}: {name}", mine, unit, mine / other, 1.1, reference=other))
    return rows
