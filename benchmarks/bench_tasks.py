"""Cost of empty tasks: time compared with dask.distributed, and memory of the driver."""

from __future__ import annotations

import sys
from pathlib import Path

from measure import Usage, measure
from setting import HERE, BenchmarkError, Options, Row, middle, read_events, run_workflow, workspace

WORKFLOW = """\
version: "1.0"
use: {{modules: [{modules}]}}
data: {{datasets: [{{name: dy, files: ["{data}/dy_*.root"]}}]}}
sources: {{events: {{kind: root_tree, tree: Events}}}}
analysis:
  stages:
    - {{id: Warm, op: noop.warm}}
    - {{id: A, op: noop.first, needs: [], from: [{{node: Warm, port: ready, as: ready}}]}}
    - {{id: B, op: noop.pass, needs: [A]}}
    - {{id: C, op: noop.pass, needs: [B]}}
    - {{id: D, op: noop.count, needs: [C]}}
execution:
  pools:
    default: {{workers: 2, resources: {{cpus: 1, memory: 2GB}}}}
"""


def _run(folder: Path, partitions: int) -> tuple[Usage, Path]:
    """Run the no-op workflow on `partitions` partitions of ten events."""
    from fasthep_parsl.demo import write_demo_data

    data = folder / "data"
    write_demo_data(data, partitions * 10, datasets={"dy": 1}, file_events=10_000_000)
    workflow = folder / "noop.yaml"
    workflow.write_text(WORKFLOW.format(modules=HERE / "noop_ops.py", data=data))
    usage = run_workflow(workflow, folder / "run", "--chunk-size", "10")
    counted = (folder / "run" / "results" / "D" / "count.json").read_text().strip()
    if int(counted) != partitions:
        raise BenchmarkError(f"{counted} of {partitions} partitions were counted")
    return usage, folder / "run"


def seconds_of_tasks(outdir: Path) -> float:
    """Return the time from the end of `Warm` to the last result."""
    finished = [event["at"] for event in read_events(outdir) if event["kind"] == "finished"]
    return finished[-1] - finished[0]


def noop(options: Options) -> list[Row]:
    """Measure 1000 partitions × 4 stages on two workers, after the pool is up."""
    ours, dask = [], []
    for _ in range(options.repeats):
        with workspace() as folder:
            ours.append(seconds_of_tasks(_run(folder, 1000)[1]))
        reference = measure([sys.executable, str(HERE / "dask_noop.py"), "1000"])
        if reference.returncode != 0:
            raise BenchmarkError(f"dask failed:\n{reference.output[-2000:]}")
        dask.append(float(reference.output.split()[-1]))
    mine, other = middle(ours), middle(dask)
    return [
        Row("1000 × 4 no-ops", mine, "s", mine, 1.0),
        Row("1000 × 4 no-ops, against dask futures", mine, "s", other / mine, 8.0, ">=", reference=other),
    ]


def memory(options: Options) -> list[Row]:
    """Compare the peak memory of the driver for 100,000 and 100 partitions."""
    del options
    peaks = []
    for partitions in (100, 100_000):
        with workspace() as folder:
            peaks.append(_run(folder, partitions)[0].peak_memory / 1e6)
    growth = peaks[1] - peaks[0]
    return [Row("driver memory, 100 → 100,000 partitions", growth, "MB more", growth, 50.0, reference=peaks[0])]
