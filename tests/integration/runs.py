"""Runs as users start them, and what they leave behind: event logs, results, processes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from fasthep_parsl.events.codec import decode


class Records:
    """What a run has written to its event log, read while it is written; each line must be an event.

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
        for line in path.read_bytes().splitlines(keepends=True) if path.exists() else []:
            if line.endswith(b"\n"):  # else it is being written
                assert decode(line) is not None, line
                found.append(json.loads(line))
        return [event for event in found if kind in (None, event["kind"])]

    def states(self):
        return [event["state"] for event in self.events("pool")]

    def processes(self):
        """Return (interchanges, leaders of blocks)."""
        interchanges, blocks = [], []
        for event in self.events("pool"):
            interchanges += [event["interchange"]] if event.get("interchange", -1) > 0 else []
            blocks += event.get("jobs", ())
        blocks += [event["pid"] for event in self.events("block") if "pid" in event]
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

    def assert_nothing_left(self, seconds=20.0):
        """Wait at most `seconds` for the kernel to bury what was killed; return how long it took."""
        assert self.processes()[1], "the run has recorded no process"
        began = time.monotonic()
        while left := self.alive():
            assert time.monotonic() - began < seconds, left
            time.sleep(0.05)
        return time.monotonic() - began

    def summary(self):
        return json.loads((self.run_dir / "run.json").read_text())


class Driver(Records):
    """The command line in a process group of its own, as a shell starts it."""

    def __init__(self, flow, *arguments, cwd=None, env=None, program=("-m", "fasthep_parsl")):
        super().__init__(flow.parent / "run")
        self.flow = flow
        command = [sys.executable, *program, "run", str(flow), "--outdir", str(self.run_dir)]
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

    def wait_until(self, condition, seconds=120.0):
        until = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, self.process.communicate()[0]
            assert time.monotonic() < until, f"it did not happen within {seconds} s:\n{self.stop()}"
            time.sleep(0.02)

    def children(self):
        """Processes that it has started, as far as they can be looked at."""
        found = []
        for child in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                child.cmdline()
                found.append(child)
        return found

    def wait_for_state(self, state):
        self.wait_until(lambda: state in self.states())

    def wait_for_finished(self, number=1):
        self.wait_until(lambda: len(self.events("finished")) >= number)

    def signal(self, sign, *, group=False):
        (os.killpg if group else os.kill)(self.process.pid, sign)

    def end(self, seconds=240.0):
        """Wait for its end; return exit code, output, and seconds that it took. It is stopped if that takes longer."""
        began = time.monotonic()
        try:
            output, _ = self.process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            pytest.fail(f"it still runs after {seconds} s:\n{self.stop()}")
        return self.process.returncode, output, time.monotonic() - began

    def stop(self, seconds=30.0):
        """Let it clean up for `seconds`, kill what is left of its process group, and return its output."""
        self.signal(signal.SIGTERM)
        try:
            return self.process.communicate(timeout=seconds)[0]
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                self.signal(signal.SIGKILL, group=True)
        try:
            return self.process.communicate(timeout=seconds)[0]
        except subprocess.TimeoutExpired as error:  # another process has its output open
            self.process.stdout.close()
            self.process.wait()
            return (error.output or b"").decode(errors="replace")
