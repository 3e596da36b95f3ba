"""What a modifier on every stage of the dimuon analysis costs: CPU seconds of tasks, with and without it.

Tasks run in this process, each in turn without and with every modifier, so that what the machine does meanwhile meets all of
them alike. What a run costs besides (start, results, pictures) is the same with and without; leaving it out is the stricter
measure.
"""

from __future__ import annotations

import time

from setting import CHUNK, Options, Row, data_folder, dimuon_workflow, workspace

ROUNDS = 15
BARS = {"diagnostics": 0.02, "profile": 0.01, "{kind: profile, what: flame}": 0.02}
"""Modifier → highest share of the time without; that of `flame` is ours."""


def modifiers(options: Options) -> list[Row]:
    """Sum over tasks of the shortest time of each: whatever disturbs makes it longer."""
    from fasthep_parsl import compile_plan
    from fasthep_parsl.driver import rundir
    from fasthep_parsl.tasks import Task
    from fasthep_parsl.worker.runner import run_task

    data = data_folder(options.small)
    spent: dict[str, dict[int, float]] = {name: {} for name in ("", *BARS)}
    with workspace() as folder:
        workflow = dimuon_workflow(folder, data)
        tasks = {}
        for number, name in enumerate(spent):
            overrides = [f"execution.pools.default.modifiers=[{name}]"] if name else []
            plan = compile_plan(workflow, overrides=overrides, chunk_size=CHUNK)
            directory = rundir.prepare(folder / f"run{number}", plan, "new").path
            tasks[name] = [
                Task("map", n, 0, (str(directory / "plan.json"), plan.hash), str(directory), (piece,))
                for n, piece in enumerate(_pieces(plan.partitions))
            ]
        for round_ in range(ROUNDS):
            for number in range(len(tasks[""])):
                names = list(spent)
                for name in names[round_ % len(names) :] + names[: round_ % len(names)]:
                    began = time.process_time()
                    run_task(tasks[name][number])
                    took = time.process_time() - began
                    spent[name][number] = min(took, spent[name].get(number, took))
    plain = sum(spent[""].values())
    rows = []
    for name, bar in BARS.items():
        extra = sum(spent[name].values()) - plain
        note = f"{1e9 * extra / options.small:.1f} ns per event"
        title = f"dimuon, {name} on every stage"
        rows.append(Row(title, plain + extra, "s CPU", extra / plain, bar, reference=plain, note=note))
    return rows


def _pieces(partitions: int, size: int = 2) -> list[tuple[int, int]]:
    return [(first, min(first + size, partitions)) for first in range(0, partitions, size)]
