"""Where a run is started from does not matter: scripts, standard input, threads, other folders, no environment at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import threading
import time

import psutil
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


def test_waiting_processes_do_not_spin_and_leave_no_file(write_flow, tmp_path, driver):
    """While a long task runs, no thread of driver, interchange and manager waits in a busy loop.

    Such a loop uses 100 % of a core. What polling costs depends on the machine: see ``benchmarks/bench_idle.py``.
    """
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    flow = write_flow(tmp_path / "flow", ("Sleep", "fault.sleep", {"seconds": 20}))
    run = driver(flow, "--chunk-size", "200", env={**os.environ, "TMPDIR": str(scratch)})
    run.wait_for_state("up")
    time.sleep(1)
    idle = [psutil.Process(pid) for pid in (run.process.pid, *{pid for pids in run.processes() for pid in pids})]
    before = [sum(process.cpu_times()[:2]) for process in idle]
    time.sleep(4)
    used = [sum(process.cpu_times()[:2]) - was for process, was in zip(idle, before, strict=True)]
    run.process.send_signal(2)
    run.end()
    assert sum(used) < 0.4 * 4, used
    run.assert_nothing_left()
    assert list(scratch.iterdir()) == []
    assert json.loads((run.run_dir / "run.json").read_text())["status"] == "interrupted"
