"""Common parts of the benchmarks: data, workflows, commands and the table."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from measure import Usage, measure

HERE = Path(__file__).parent
ROOT = HERE.parent
COMMAND = Path(sys.executable).parent / "fasthep-parsl"
CHUNK = 100_000
EXTRA: list[str] = []
"""Additional options of ``fasthep-parsl run`` for all runs."""


@dataclass(frozen=True)
class Options:
    """Options of the command line.

    Attributes
    ----------
    events : int
        Events of the large run.
    small : int
        Events of the small run. The difference between the runs excludes start-up.
    triggers : int
        Additional branches of the files, beyond 30.
    repeats : int
        Number of runs for medians.
    """

    events: int = 12_000_000
    small: int = 2_000_000
    triggers: int = 0
    repeats: int = 3


@dataclass(frozen=True)
class Row:
    """One line of the table.

    `value` and `reference` have the unit `unit`. The bar applies to `compared`: a ratio, or the value itself.
    """

    name: str
    value: float
    unit: str
    compared: float
    bar: float
    sense: str = "<="
    reference: float | None = None
    note: str = ""

    @property
    def passed(self) -> bool:
        return self.compared <= self.bar if self.sense == "<=" else self.compared >= self.bar


class BenchmarkError(RuntimeError):
    """A run failed, or two runs that must agree differ."""


def bench_folder() -> Path:
    """Return the folder in which data are kept: ``$FASTHEP_BENCH_DATA``."""
    default = Path(tempfile.gettempdir()) / f"fasthep-bench-{os.getuid()}"
    return Path(os.environ.get("FASTHEP_BENCH_DATA", default))


def data_folder(events: int, triggers: int = 0) -> Path:
    """Return a folder with demo data of `events` events. Data are written once and kept in ``$FASTHEP_BENCH_DATA``."""
    from fasthep_parsl.demo import write_demo_data

    folder = bench_folder() / f"v2-{events}-{triggers}"
    if not (folder / "demo-data.json").exists():
        print(f"writing {events:,} events to {folder}", file=sys.stderr)
        write_demo_data(folder, events, triggers=triggers)
    return folder


def dimuon_workflow(folder: Path, data: Path) -> Path:
    """Write a ``dimuon.yaml`` that reads the events in `data` and is otherwise unchanged."""
    text = (ROOT / "configs" / "dimuon.yaml").read_text()
    path = folder / "dimuon.yaml"
    path.write_text(text.replace("../demo/data/", f"{data}/"))
    return path


def run_workflow(workflow: Path, outdir: Path, *options: str, site: str = "local") -> Usage:
    """Run a workflow with the command line, and return the CPU seconds of all its processes."""
    usage = measure([str(COMMAND), "run", str(workflow), "--site", site, "--outdir", str(outdir), *options, *EXTRA])
    if usage.returncode != 0:
        raise BenchmarkError(f"fasthep-parsl run {workflow} ended with {usage.returncode}:\n{usage.output[-4000:]}")
    return usage


def run_handwritten(data: Path, chunk: int, out: Path) -> tuple[Usage, dict[str, Any]]:
    """Run the hand-written loop, and return its cost and its result."""
    script = HERE / "handwritten.py"
    usage = measure([sys.executable, str(script), str(data), "--chunk-size", str(chunk), "--out", str(out)])
    if usage.returncode != 0:
        raise BenchmarkError(f"the hand-written loop failed:\n{usage.output[-4000:]}")
    return usage, json.loads(out.read_text())


def check_same_sums(outdir: Path, expected: dict[str, Any]) -> None:
    """Compare every bin of every histogram with those of the hand-written loop.

    Raises
    ------
    BenchmarkError
        They differ by more than rounding.
    """
    import numpy as np
    import uhi.io.json
    from hist import Hist

    for name, values in expected["values"].items():
        text = (outdir / "results" / name / "hist.json").read_text()
        found = Hist(json.loads(text, object_hook=uhi.io.json.object_hook))
        by_dataset = {dataset: found[{"dataset": dataset}].values(flow=True) for dataset in expected["sums"][name]}
        for dataset, wanted in zip(expected["sums"][name], values, strict=False):
            if not np.allclose(by_dataset[dataset], wanted, rtol=1e-9, atol=1e-6):
                difference = np.abs(np.asarray(by_dataset[dataset]) - wanted).max()
                raise BenchmarkError(f"{name}, {dataset}: a bin differs from the hand-written loop by {difference:g}")


@contextmanager
def workspace() -> Iterator[Path]:
    """Yield a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="fasthep-bench-") as folder:
        yield Path(folder)


def middle(values: Iterable[float]) -> float:
    """Return the median."""
    return median(list(values))


def read_events(outdir: Path) -> list[dict[str, Any]]:
    """Return the events of a run in order, each with the time ``at`` in seconds."""
    lines = (outdir / "events.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    for event in events:
        event["at"] = datetime.fromisoformat(event["time"]).timestamp()
    return events
