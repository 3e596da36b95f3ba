"""Run benchmarks and print a table of measured values, references and bars.

    python benchmarks/run.py                      run all benchmarks (half an hour)
    python benchmarks/run.py start light          run some of them
    python benchmarks/run.py dimuon --events 4000000 --small 1000000 --repeats 1

Data are written once and kept in ``$FASTHEP_BENCH_DATA`` (default: a folder in the temporary folder).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from dataclasses import asdict
from pathlib import Path

from bench_agc import agc
from bench_batch import batch
from bench_corrections import corrections
from bench_dimuon import chunks, dimuon
from bench_environment import environment
from bench_idle import idle
from bench_kernels import kernels
from bench_modifiers import modifiers
from bench_ntuple import ntuple
from bench_replicas import replicas
from bench_report import report
from bench_start import light, start
from bench_storage import link, opens, renewal
from bench_tasks import memory, noop
from bench_variations import variations
from rich.console import Console
from rich.table import Table
from setting import EXTRA, BenchmarkError, Options, Row

BENCHMARKS = {
    "dimuon": dimuon, "agc": agc, "variations": variations, "ntuple": ntuple, "chunks": chunks, "noop": noop,
    "start": start, "memory": memory, "light": light,
    "idle": idle, "environment": environment,
    "batch": batch, "modifiers": modifiers, "kernels": kernels, "corrections": corrections,
    "opens": opens, "link": link, "replicas": replicas, "renewal": renewal, "report": report,
}  # fmt: skip


def table(rows: list[Row]) -> Table:
    result = Table(title="benchmarks")
    for column, justify in (
        ("measure", "left"), ("here", "right"), ("reference", "right"), ("compared", "right"), ("bar", "right"),
        ("", "left"), ("note", "left"),
    ):  # fmt: skip
        result.add_column(column, justify=justify)  # type: ignore[arg-type]
    for row in rows:
        result.add_row(
            row.name,
            f"{row.value:.3g} {row.unit}",
            "" if row.reference is None else f"{row.reference:.3g}",
            f"{row.compared:.3g}",
            f"{row.sense} {row.bar:g}",
            "[green]met[/]" if row.passed else "[red]missed[/]",
            row.note,
        )
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="name", help=f"which: {', '.join(BENCHMARKS)} (default: all)")
    parser.add_argument("--events", type=int, default=Options.events, help="events of the large run")
    parser.add_argument("--small", type=int, default=Options.small, help="events of the small run")
    parser.add_argument("--triggers", type=int, default=0, help="branches more than 30 (real NanoAOD: 1500 in all)")
    parser.add_argument("--repeats", type=int, default=Options.repeats, help="medians over so many runs")
    parser.add_argument("--backend", default="parsl", help="backend of our runs: parsl or local")
    parser.add_argument("--out", type=Path, default=Path("benchmarks.json"), help="the same as JSON")
    given = parser.parse_args()
    unknown = sorted(set(given.names) - set(BENCHMARKS))
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(BENCHMARKS)}")
    options = Options(given.events, given.small, given.triggers, given.repeats)
    EXTRA.extend(["--backend", given.backend])
    console = Console(width=None if sys.stdout.isatty() else 140)
    rows: list[Row] = []
    failed = False
    for name in given.names or BENCHMARKS:
        console.print(f"[dim]{name} …[/]")
        try:
            rows += BENCHMARKS[name](options)
        except (BenchmarkError, TimeoutError) as error:
            console.print(f"{name}: {error}", style="red", markup=False)
            failed = True
    console.print(table(rows))
    machine = {
        "cores": len(os.sched_getaffinity(0)),
        "system": platform.platform(),
        "python": platform.python_version(),
    }
    content = {
        "machine": machine,
        "backend": given.backend,
        "options": asdict(options),
        "rows": [asdict(r) | {"passed": r.passed} for r in rows],
    }
    given.out.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return int(failed or not all(row.passed for row in rows))


if __name__ == "__main__":
    sys.exit(main())
