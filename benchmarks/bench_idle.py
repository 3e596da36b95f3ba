"""CPU time that a run uses while its only task runs: our processes, and those of Parsl's own executor, at the same time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from measure import descendants
from setting import COMMAND, HERE, BenchmarkError, Options, Row, middle, workspace

WINDOW = 20.0
"""Seconds of one measurement."""
SETTLE = 8.0
"""Seconds after the start of both tasks: both have imported everything."""
LIMIT = 120.0
"""Seconds until a command is ended."""
WORKFLOW = """\
version: "1.0"
use: {{modules: [{modules}]}}
data: {{datasets: [{{name: dy, files: ["{data}/dy_*.root"]}}]}}
sources: {{events: {{kind: root_tree, tree: Events}}}}
analysis:
  stages:
    - {{id: Wait, op: noop.wait, params: {{seconds: {seconds}, started: "{started}"}}}}
execution: {{pools: {{default: {{workers: 1, resources: {{cpus: 1, memory: 1GB}}}}}}}}
"""


@dataclass(frozen=True)
class _Waiting:
    """A command whose task has started, with the process that adopts its orphans."""

    root: int
    name: str

    def cpu(self) -> dict[str, float]:
        """Return process → CPU seconds until now."""
        found = {}
        for pid in descendants(self.root):
            try:
                threads = list(Path(f"/proc/{pid}/task").iterdir())
                command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                nanoseconds = sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads)
            except OSError:
                continue
            found[f"{pid} {command[:90]}"] = nanoseconds / 1e9
        return found


def idle(options: Options) -> list[Row]:
    """Measure both while they wait: the CPU seconds per second of all their processes."""
    ours, theirs = [], []
    with workspace() as folder, _ours(folder) as mine, _parsl(folder) as other:
        time.sleep(SETTLE)
        for _ in range(max(1, min(options.repeats, 3))):
            before, began = [side.cpu() for side in (mine, other)], time.monotonic()
            time.sleep(WINDOW / max(1, min(options.repeats, 3)))
            after, seconds = [side.cpu() for side in (mine, other)], time.monotonic() - began
            used = [_rates(old, new, seconds) for old, new in zip(before, after, strict=True)]
            ours.append(sum(used[0].values()))
            theirs.append(sum(used[1].values()))
        for side, rates in zip((mine, other), used, strict=True):
            for process, rate in sorted(rates.items(), key=lambda item: -item[1]):
                print(f"{side.name}: {rate:.4f}  {process}", file=sys.stderr)
    value, reference = middle(ours), middle(theirs)
    note = "driver, interchange, manager and worker while a task sleeps; reference: Parsl's HighThroughputExecutor"
    return [Row("CPU of a run that waits", value, "s/s", value / reference, 1.0, reference=reference, note=note)]


def _rates(before: dict[str, float], after: dict[str, float], seconds: float) -> dict[str, float]:
    return {process: (after[process] - before.get(process, 0.0)) / seconds for process in after}


@contextmanager
def _ours(folder: Path) -> Iterator[_Waiting]:
    from fasthep_parsl.demo import write_demo_data

    write_demo_data(folder / "data", 100, datasets={"dy": 1})
    workflow, started = folder / "wait.yaml", folder / "ours.started"
    text = WORKFLOW.format(modules=HERE / "noop_ops.py", data=folder / "data", seconds=LIMIT, started=started)
    workflow.write_text(text)
    command = [str(COMMAND), "run", str(workflow), "--outdir", str(folder / "run")]
    with _waiting("ours", folder, command, started) as found:
        yield found


@contextmanager
def _parsl(folder: Path) -> Iterator[_Waiting]:
    started = folder / "parsl.started"
    command = [sys.executable, str(HERE / "idle_parsl.py"), str(folder / "parsl"), str(started), str(LIMIT)]
    with _waiting("parsl", folder, command, started) as found:
        yield found


@contextmanager
def _waiting(name: str, folder: Path, command: list[str], started: Path) -> Iterator[_Waiting]:
    """Start a command, wait until its task has started, and end everything afterwards."""
    report, log = folder / f"{name}.json", folder / f"{name}.log"
    wrapper = [sys.executable, str(HERE / "measure.py"), str(report), str(LIMIT), "--", *command]
    path = {"PATH": f"{COMMAND.parent}{os.pathsep}{os.environ['PATH']}"}  # Parsl starts its programs from PATH
    with log.open("w") as output:
        process = subprocess.Popen(
            wrapper, cwd=folder, env={**os.environ, **path}, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        until = time.monotonic() + 60
        while not started.exists():
            if process.poll() is not None or time.monotonic() > until:
                raise BenchmarkError(f"{name}: the task has not started:\n{log.read_text()[-2000:]}")
            time.sleep(0.05)
        yield _Waiting(process.pid, name)
    finally:
        process.send_signal(signal.SIGALRM)  # the wrapper ends all its descendants
        process.wait()
