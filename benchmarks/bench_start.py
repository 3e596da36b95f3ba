"""Start-up times: the first run, ``--help``, and the import."""

from __future__ import annotations

import json
import os
import sys
import time

from measure import measure
from setting import COMMAND, Options, Row, data_folder, dimuon_workflow, middle, read_events, run_workflow, workspace

HEAVY = ("parsl", "awkward", "numba", "uproot", "cupy")


def start(options: Options) -> list[Row]:
    """Measure ``run`` on 4000 events from start to exit: the first time, and with cached headers."""
    data = data_folder(4000)
    walls: dict[str, list[float]] = {"first": [], "again": []}
    notes: dict[str, list[str]] = {"first": [], "again": []}
    for _ in range(options.repeats):
        with workspace() as folder:
            os.environ["FASTHEP_PARSL_CACHE"] = str(folder / "cache")
            workflow = dimuon_workflow(folder, data)
            for name, found in walls.items():
                begin = time.time()
                usage = run_workflow(workflow, folder / name)
                found.append(usage.wall)
                marks = _breakdown(begin, usage.wall, read_events(folder / name))
                notes[name].append(f"{marks}, {usage.cpu:.1f} CPU s")
    return [
        Row(f"run on 4000 events, {name}", middle(found), "s", middle(found), 5.0, note=notes[name][-1])
        for name, found in walls.items()
    ]


def _breakdown(begin: float, wall: float, events: list[dict[str, object]]) -> str:
    """Return the time of each phase of one run."""
    marks = [("to the plan", events[0]["at"])]
    finished = [event["at"] for event in events if event["kind"] == "finished"]
    if finished:
        marks += [("to the first result", finished[0]), ("to the last", finished[-1])]
    marks.append(("to the end", begin + wall))
    parts, before = [], begin
    for name, at in marks:
        parts.append(f"{name} {at - before:.1f}")  # type: ignore[operator]
        before = at  # type: ignore[assignment]
    return ", ".join(parts)


def light(options: Options) -> list[Row]:
    """Measure ``import fasthep_parsl`` and ``fasthep-parsl --help``, and check that they import nothing heavy."""
    probe = f"import sys, json; print(json.dumps([m for m in {HEAVY} if m in sys.modules]))"
    call_help = (
        "import contextlib, io\nfrom fasthep_parsl.cli.app import app\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n    app(['--help'], standalone_mode=False)\n"
    )
    rows = []
    for name, command, code in (
        ("import fasthep_parsl", [sys.executable, "-c", "import fasthep_parsl"], "import fasthep_parsl\n" + probe),
        ("fasthep-parsl --help", [str(COMMAND), "--help"], call_help + probe),
    ):
        wall = middle(measure(command).wall for _ in range(max(options.repeats, 3)))
        heavy = json.loads(measure([sys.executable, "-c", code]).output.splitlines()[-1])
        rows.append(Row(name, wall, "s", wall, 0.5, note=f"imports {', '.join(heavy)}" if heavy else "nothing heavy"))
        rows.append(Row(f"{name}, heavy imports", len(heavy), "modules", len(heavy), 0))
    return rows
