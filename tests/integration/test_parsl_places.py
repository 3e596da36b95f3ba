"""Where a run is started from does not matter: scripts, standard input, threads, other folders, no environment at all."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

import fasthep_parsl

TOTAL = 200 * 199 // 2


@pytest.fixture(scope="module")
def bare():
    """An environment as cron gives it: the virtual environment is not activated, nothing says where code lies."""
    kept = {key: os.environ[key] for key in ("HOME", "FASTHEP_PARSL_CACHE") if key in os.environ}
    return {"PATH": "/usr/bin:/bin", **kept}


SCRIPT = """
    import fasthep_parsl
    outcome = fasthep_parsl.run({flow!r}, outdir={outdir!r}, chunk_size=25, plots=False)
    print(outcome.status, outcome.products["Sum", "sum"])
"""


@pytest.mark.parametrize("how", ["file", "stdin", "thread"])
def test_a_plain_script_needs_no_guard_and_no_environment(write_flow, tmp_path, bare, records, how):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    flow, outdir = write_flow(tmp_path / "my flow"), tmp_path / "a run's folder"
    text = textwrap.dedent(SCRIPT).format(flow=str(flow), outdir=str(outdir))
    if how == "thread":
        body = textwrap.indent(text, "    ")
        text = f"import threading\ndef main():\n{body}\nt = threading.Thread(target=main)\nt.start()\nt.join()\n"
    script = elsewhere / "analysis.py"
    script.write_text(text)
    done = subprocess.run(
        [sys.executable, "-" if how == "stdin" else str(script)],
        input=text if how == "stdin" else None,
        stdin=None if how == "stdin" else subprocess.DEVNULL,
        cwd=elsewhere,
        env=bare,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.stdout == f"complete {TOTAL}\n", done.stderr
    assert done.stderr == ""
    assert {path.name for path in elsewhere.iterdir()} == {"analysis.py"}
    assert "fault_ops.py" not in {path.name for path in tmp_path.iterdir()}
    records(outdir).assert_nothing_left()


def test_two_runs_at_the_same_time_do_not_meet(write_flow, tmp_path, records):
    """Also in one process, from threads that are not the main one."""
    flow = write_flow(tmp_path / "flow", ("Sleep", "fault.sleep", {"seconds": 0.2}))
    plan = fasthep_parsl.compile_plan(flow, chunk_size=25)
    outcomes = {}

    def run(name):
        outcomes[name] = fasthep_parsl.run(plan, outdir=tmp_path / name, plots=False)

    threads = [threading.Thread(target=run, args=(name,)) for name in ("one", "other")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert {name: outcome.products["Sum", "sum"] for name, outcome in outcomes.items()} == {
        "one": TOTAL,
        "other": TOTAL,
    }
    groups = {name: set(records(tmp_path / name).processes()[1]) for name in outcomes}
    assert not groups["one"] & groups["other"]
    for name in outcomes:
        records(tmp_path / name).assert_nothing_left()


WAKE_UPS = 20.0
"""Wake-ups per second of one process that waits, at most. They are 1 to 6; a poll every 10 ms makes 100."""


def look_at_threads(processes):
    """Return (process, thread) → number of times that it went to sleep, and whether it runs or wants to."""
    found = {}
    for process in processes:
        for thread in Path(f"/proc/{process}/task").iterdir():
            with contextlib.suppress(OSError):
                fields = dict(line.split(":", 1) for line in (thread / "status").read_text().splitlines())
                sleeps = int(fields["voluntary_ctxt_switches"])
                found[process, thread.name] = sleeps, fields["State"].split()[0] == "R"
    return found


def restless(processes, seconds=4.0, looks=20):
    """Return what is wrong with processes that should wait: frequent wake-ups, or a thread that never sleeps."""
    first, began = look_at_threads(processes), time.monotonic()
    running = Counter()
    for _ in range(looks):
        time.sleep(seconds / looks)
        last = look_at_threads(processes)
        running.update(thread for thread, (_, runs) in last.items() if runs)
    seconds = time.monotonic() - began
    sleeps = Counter()
    for (process, thread), (count, _) in last.items():
        sleeps[process] += count - first.get((process, thread), (0, False))[0]
    wrong = [
        f"{process} wakes up {n / seconds:.0f} times per s" for process, n in sleeps.items() if n > WAKE_UPS * seconds
    ]
    return wrong + [f"thread {thread} never sleeps" for thread, count in running.items() if count > looks / 2]


@pytest.mark.skipif(sys.platform != "linux", reason="the system does not count the wake-ups of other processes")
def test_waiting_processes_do_not_spin_and_leave_no_file(write_flow, tmp_path, driver):
    """While a long task runs, driver, interchange, manager and workers sleep, and wake up rarely.

    What that costs depends on the machine: see ``benchmarks/bench_idle.py``.
    """
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    flow = write_flow(tmp_path / "flow", ("Sleep", "fault.sleep", {"seconds": 120}))
    run = driver(flow, "--chunk-size", "200", env={**os.environ, "TMPDIR": str(scratch)})
    run.wait_for_state("up")
    until, wrong = time.monotonic() + 60, ["nothing was looked at"]
    while wrong and time.monotonic() < until:  # they may still start
        everyone = {
            run.process.pid,
            *(pid for pids in run.processes() for pid in pids),
            *(c.pid for c in run.children()),
        }
        assert len(everyone) >= 4
        wrong = restless(everyone)
    assert not wrong
    run.process.send_signal(2)
    run.end()
    run.assert_nothing_left()
    assert list(scratch.iterdir()) == []
    assert json.loads((run.run_dir / "run.json").read_text())["status"] == "interrupted"
