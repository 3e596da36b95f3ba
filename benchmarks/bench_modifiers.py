"""Overhead of a modifier on every stage of the dimuon analysis.

Tasks run in this process, repeatedly without and with each modifier, in an order that is shuffled each time. Each time
with a modifier is divided by the closest time without it. This estimate varies least between runs (±0.3 %; sums of
shortest times vary by 2 %). The table compares the extra time per event and the time once per worker with the cost of the
whole dimuon analysis of `--events`. The note gives the overhead relative to its tasks alone, without start-up, results and
plots.
"""

from __future__ import annotations

import random
import time
from statistics import median
from typing import TYPE_CHECKING

from setting import CHUNK, Options, Row, data_folder, dimuon_workflow, run_workflow, workspace

if TYPE_CHECKING:
    from fasthep_parsl.tasks import Task

ROUNDS = 30
FIRSTS = 15
WORKERS = 2
BARS = {"diagnostics": 0.02, "profile": 0.01, "{kind: profile, what: flame}": 0.02}
"""Modifier → maximum overhead relative to the time without it. The limit of `flame` is our own choice."""


def modifiers(options: Options) -> list[Row]:
    """Compare tasks without and with each modifier."""
    from fasthep_parsl import compile_plan
    from fasthep_parsl.driver import rundir
    from fasthep_parsl.resources import memory
    from fasthep_parsl.tasks import Task
    from fasthep_parsl.worker.runner import run_task

    memory.keep_freed()  # as workers do
    shuffle = random.Random(1).sample
    spent: dict[str, list[float]] = {name: [] for name in ("", *BARS)}
    with workspace() as folder:
        workflow = dimuon_workflow(folder, data_folder(options.events))
        usages = [
            run_workflow(workflow, folder / f"whole{n}", "--chunk-size", str(CHUNK)) for n in range(options.repeats)
        ]
        whole = median(usage.cpu for usage in usages)
        workflow = dimuon_workflow(folder, data_folder(options.small))
        tasks = {}
        for number, name in enumerate(spent):
            overrides = [f"execution.pools.default.modifiers=[{name}]"] if name else []
            plan = compile_plan(workflow, overrides=overrides, chunk_size=CHUNK)
            directory = rundir.prepare(folder / f"run{number}", plan, "new").path
            tasks[name] = [
                Task("map", n, 0, (str(directory / "plan.json"), plan.hash), str(directory), (piece,))
                for n, piece in enumerate(_pieces(plan.partitions))
            ]
        for _ in range(ROUNDS):
            for number in range(len(tasks[""])):
                for name in shuffle(list(spent), len(spent)):
                    began = time.process_time()
                    run_task(tasks[name][number])
                    spent[name].append(time.process_time() - began)
        first = {name: _first(tasks[name][0]) for name in spent}
    plain = sum(spent[""]) / ROUNDS / options.small
    rows = []
    for name, bar in BARS.items():
        share = median(a / b for a, b in zip(spent[name], spent[""], strict=True)) - 1
        once = max(0.0, first[name] - first[""] * (1 + share))
        total = whole + share * plain * options.events + WORKERS * once
        note = f"{1e9 * share * plain:.1f} ns per event, {share:.1%} of the tasks; {1e3 * once:.0f} ms once per worker"
        rows.append(
            Row(f"dimuon, {name} on every stage", total, "s CPU", total / whole - 1, bar, reference=whole, note=note)
        )
    return rows


def _first(task: Task) -> float:
    """Return the CPU seconds of the first task of a worker, which creates the modifiers."""
    from fasthep_parsl.worker.program import program
    from fasthep_parsl.worker.runner import run_task

    found = []
    for _ in range(FIRSTS):
        program.cache_clear()
        began = time.process_time()
        run_task(task)
        found.append(time.process_time() - began)
    return median(found)


def _pieces(partitions: int, size: int = 2) -> list[tuple[int, int]]:
    return [(first, min(first + size, partitions)) for first in range(0, partitions, size)]
