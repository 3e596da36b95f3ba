"""The Analysis Grand Challenge: CPU seconds of ``configs/agc.yaml`` in all processes, compared with a processor of coffea.

Both fill all histograms with all variations; ours writes templates, too. Coffea is not a dependency: it is installed once
into a virtual environment beside the data, or ``$FASTHEP_COFFEA_PYTHON`` is a Python that has it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

from measure import Usage, measure
from setting import CHUNK, HERE, ROOT, BenchmarkError, Options, Row, bench_folder, middle, run_workflow, workspace

COFFEA = ("coffea==2026.9.0", "correctionlib==2.9.0")
"""What is installed for the reference."""

MIGRATION = 1e-3
"""Largest part of the entries that may be in other bins: coffea sums four-momenta in float32, ours in float64."""


def agc_data(events: int) -> Path:
    """Return a folder with `events` events of the samples of the challenge. They are written once."""
    from fasthep_parsl.demo import write_demo_data

    folder = bench_folder() / f"agc-1-{events}"
    if not (folder / "demo-data.json").exists():
        print(f"writing {events:,} events to {folder}", file=sys.stderr)
        write_demo_data(folder, events, like="agc")
    return folder


def coffea_python() -> str:
    """Return a Python with coffea."""
    given = os.environ.get("FASTHEP_COFFEA_PYTHON")
    if given:
        return given
    folder = bench_folder() / "coffea"
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        print(f"installing {' '.join(COFFEA)} in {folder}", file=sys.stderr)
        venv.create(folder, clear=True, with_pip=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", *COFFEA], check=True)
        (folder / "complete").touch()
    return str(python)


def agc_workflow(folder: Path, data: Path) -> Path:
    """Write an ``agc.yaml`` that reads the events in `data` and is otherwise unchanged."""
    path = folder / "agc.yaml"
    path.write_text((ROOT / "configs" / "agc.yaml").read_text().replace("../demo/agc/", f"{data}/"))
    return path


def run_coffea(python: str, data: Path, out: Path) -> tuple[Usage, dict[str, Any]]:
    """Run the processor, and return its cost and its histograms."""
    script = HERE / "coffea_agc.py"
    usage = measure([python, "-W", "ignore", str(script), str(data), "--chunk-size", str(CHUNK), "--out", str(out)])
    if usage.returncode != 0:
        raise BenchmarkError(f"the processor of coffea failed:\n{usage.output[-4000:]}")
    return usage, json.loads(out.read_text())["values"]


def check_templates(outdir: Path, expected: dict[str, Any]) -> None:
    """Compare all templates with coffea's but for those with random numbers, and pseudodata, which only ours has.

    Raises
    ------
    BenchmarkError
        They differ by more than what rounding explains.
    """
    import numpy as np
    import uproot

    with uproot.open(outdir / "results" / "templates.root") as file:
        found = {name.partition(";")[0]: file[name].values(flow=True) for name in file}
    found = {name: values for name, values in found.items() if not name.endswith("_pseudodata")}
    if found.keys() != expected.keys() or len(found) != 122:
        raise BenchmarkError(f"other histograms than coffea's: {sorted(found.keys() ^ expected.keys())}")
    for name, values in found.items():
        wanted = np.asarray(expected[name])
        moved = float(np.abs(values - wanted).sum() / wanted.sum())
        if not name.endswith("_pt_res_up") and moved > (1e-9 if name.startswith("4j1b") else MIGRATION):
            raise BenchmarkError(f"{name} differs from coffea's by {moved:.2g}")


def _pair(events: int, python: str, repeats: int) -> tuple[float, float]:
    """Return median CPU seconds of our run and of coffea's. Runs alternate, and results must agree."""
    data = agc_data(events)
    ours, theirs = [], []
    for number in range(repeats):
        with workspace() as folder:
            reference, expected = run_coffea(python, data, folder / "coffea.json")
            usage = run_workflow(agc_workflow(folder, data), folder / "run", "--chunk-size", str(CHUNK), "--no-plots")
            if number == 0:
                check_templates(folder / "run", expected)
        ours.append(usage.cpu)
        theirs.append(reference.cpu)
    return middle(ours), middle(theirs)


def agc(options: Options) -> list[Row]:
    """Measure the marginal and total cost of all variations."""
    python = coffea_python()
    ours_small, coffea_small = _pair(options.small, python, options.repeats)
    ours, coffea = _pair(options.events, python, options.repeats)
    extra = (options.events - options.small) / 1e6
    slope, coffea_slope = (ours - ours_small) / extra, (coffea - coffea_small) / extra
    millions = options.events / 1e6
    return [
        Row("AGC, per event, all variations", slope, "µs CPU", slope / coffea_slope, 0.35, reference=coffea_slope),
        Row(f"AGC, {millions:g} M events, all variations", ours, "s CPU", ours / coffea, 0.35, reference=coffea),
    ]
