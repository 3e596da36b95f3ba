"""What the tests with real processes share: small events, workflows over them, and a look at what is left running."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

HERE = Path(__file__).parent
EVENTS, CLUSTER = 200, 25


def pytest_collection_modifyitems(items):
    for item in items:
        if HERE in Path(item.path).parents:
            item.add_marker(pytest.mark.integration)


@pytest.fixture(scope="session")
def counted(tmp_path_factory):
    """A file with x = 0 … 199 in clusters of 25 events."""
    import uproot

    path = tmp_path_factory.mktemp("counted") / "counted.root"
    with uproot.recreate(path) as file:
        tree = file.mktree("Events", {"x": np.dtype("int64")})
        for first in range(0, EVENTS, CLUSTER):
            tree.extend({"x": np.arange(first, first + CLUSTER)})
    return path


@pytest.fixture(scope="session")
def write_flow(counted):
    """Return what writes a workflow over `counted` into a folder: stages are (id, op, parameters), then ``Sum``."""

    def write(folder, *stages, **pools):
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(HERE / "fault_ops.py", folder / "fault_ops.py")
        listed = [{"id": name, "op": op, "params": params} for name, op, params in stages]
        content = {
            "version": "1.0",
            "use": {"modules": ["fault_ops.py"]},
            "data": {"datasets": [{"name": "small", "files": [str(counted)]}]},
            "sources": {"events": {"kind": "root_tree", "tree": "Events"}},
            "analysis": {"stages": [*listed, {"id": "Sum", "op": "fault.sum"}]},
            "execution": {"backend": "parsl", "strategy": "local", "pools": pools or {"default": {"workers": 2}}},
        }
        (folder / "flow.yaml").write_text(json.dumps(content))  # JSON is YAML
        return folder / "flow.yaml"

    return write


# --- processes ----------------------------------------------------------------------------------------------


class Records:
    """What a run has written to its event log, read while it is written.

    Parameters
    ----------
    run_dir : Path
        The run directory.
    """

    def __init__(self, run_dir):
        self.run_dir = Path(run_dir)

    def events(self, kind=None):
        path = self.run_dir / "events.jsonl"
        found = []
        for line in path.read_text().splitlines() if path.exists() else []:
            try:
                found.append(json.loads(line))
            except json.JSONDecodeError:  # being written
                continue
        return [event for event in found if kind in (None, event["kind"])]

    def states(self):
        return [event["state"] for event in self.events("pool")]

    def processes(self):
        """Return (interchanges, leaders of blocks)."""
        interchanges, blocks = [], []
        for event in self.events("pool"):
            interchanges += [event["interchange"]] if event.get("interchange", -1) > 0 else []
            blocks += event.get("jobs", ())
        return interchanges, blocks

    def alive(self):
        """Return the processes of the run that are alive, zombies that nobody has reaped left out."""
        interchanges, blocks = map(set, self.processes())
        found = []
        for process in psutil.process_iter():
            try:
                mine = process.pid in interchanges or os.getsid(process.pid) in blocks
                if mine and process.status() != psutil.STATUS_ZOMBIE:
                    found.append((process.pid, process.cmdline()))
            except (ProcessLookupError, psutil.NoSuchProcess):
                continue
        return found

    def assert_nothing_left(self, seconds=2.0):
        """Wait at most `seconds` for the kernel to bury what was killed; return how long it took."""
        assert self.processes()[1], "the run has recorded no process"
        began = time.monotonic()
        while left := self.alive():
            assert time.monotonic() - began < seconds, left
            time.sleep(0.05)
        return time.monotonic() - began

    def summary(self):
        return json.loads((self.run_dir / "run.json").read_text())


@pytest.fixture(scope="session")
def records():
    return Records


class Driver(Records):
    """The command line in a process group of its own, as a shell starts it."""

    def __init__(self, flow, *arguments, cwd=None, env=None):
        super().__init__(flow.parent / "run")
        command = [sys.executable, "-m", "fasthep_parsl", "run", str(flow), "--outdir", str(self.run_dir)]
        self.process = subprocess.Popen(
            [*command, "--chunk-size", "1", "--no-plots", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=cwd or flow.parent,
            env=env,
            process_group=0,
        )

    def wait_until(self, condition, seconds=30.0):
        until = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, self.process.communicate()[0]
            assert time.monotonic() < until, "it did not happen"
            time.sleep(0.02)

    def wait_for_state(self, state):
        self.wait_until(lambda: state in self.states())

    def wait_for_finished(self, number=1):
        self.wait_until(lambda: len(self.events("finished")) >= number)

    def signal(self, sign, *, group=False):
        (os.killpg if group else os.kill)(self.process.pid, sign)

    def end(self, seconds=30.0):
        """Wait for its end; return exit code, output, and seconds that it took."""
        began = time.monotonic()
        output, _ = self.process.communicate(timeout=seconds)
        return self.process.returncode, output, time.monotonic() - began


@pytest.fixture
def driver():
    """Start drivers; those that are still there at the end are killed."""
    started = []

    def start(*args, **kwargs):
        started.append(Driver(*args, **kwargs))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.send_signal(signal.SIGKILL)
        one.process.communicate()
