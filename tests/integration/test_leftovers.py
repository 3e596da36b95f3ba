"""Whatever ends a run or a part of it: no process, no name in shared memory, no temporary file and no half-written file."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

SLEEP = ("Sleep", "fault.sleep", {"seconds": 0.03})
MARK = "FASTHEP_PARSL_TEST_MARK"


class Traces:
    """What the processes of a run leave on this machine.

    Parameters
    ----------
    folder : Path
        For temporary files; nothing but the run writes there.
    """

    def __init__(self, folder):
        self.folder = folder
        self.tmp = folder / "tmp"
        self.tmp.mkdir()
        self.env = {**os.environ, MARK: str(folder), "TMPDIR": str(self.tmp), "XDG_CACHE_HOME": str(folder / "cache")}
        self.shared = set()

    def processes(self):
        """Return the processes of the run, whatever session they are in; zombies left out."""
        found = []
        for process in psutil.process_iter():
            try:
                mine = process.environ().get(MARK) == str(self.folder)
                if mine and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return found

    def look(self):
        """Note the names in shared memory that the run's processes use."""
        for process in self.processes():
            try:
                lines = Path(f"/proc/{process.pid}/maps").read_text().splitlines()
            except OSError:
                continue
            self.shared |= {line.split(maxsplit=5)[5] for line in lines if " /dev/shm/" in line}

    def left(self, run_dir):
        """Return everything that is still there and should not be."""
        names = [name for name in self.shared if Path(name).exists()]
        drafts = [path for path in run_dir.rglob("*") if path.name.startswith(".") or "drafts" in path.parts]
        return [*self.processes(), *names, *self.tmp.iterdir(), *drafts]

    def assert_nothing_left(self, run_dir, seconds=15.0):
        until = time.monotonic() + seconds
        while left := self.left(run_dir):
            assert time.monotonic() < until, left
            time.sleep(0.05)


@pytest.fixture
def traces(tmp_path):
    found = Traces(tmp_path)
    yield found
    for process in found.processes():
        process.kill()


def _driver(run, _):
    run.signal(signal.SIGKILL)


def _interrupt(run, _):
    run.signal(signal.SIGINT, group=True)


def _terminate(run, _):
    run.signal(signal.SIGTERM)


def _block(run, _):
    os.killpg(run.processes()[1][0], signal.SIGKILL)


def _manager(run, _):
    os.kill(run.processes()[1][0], signal.SIGKILL)


def _interchange(run, _):
    os.kill(run.processes()[0][0], signal.SIGKILL)


def _worker(run, _):
    os.kill(run.events("finished")[0]["pid"], signal.SIGKILL)


def _everything(_, traces):
    """As if the machine were reset: nobody has time to clean up."""
    for process in traces.processes():
        process.suspend()
    for process in traces.processes():
        process.kill()


GOES_ON = [_block, _manager, _interchange, _worker]


@pytest.mark.parametrize("end", [_interrupt, _terminate, _driver, *GOES_ON], ids=lambda end: end.__name__.strip("_"))
def test_nothing_is_left(driver, write_flow, tmp_path, traces, end):
    flow = write_flow(tmp_path / "flow", SLEEP)
    run = driver(flow, env=traces.env)
    run.wait_for_finished(2)
    traces.look()
    assert len(traces.processes()) >= 5
    end(run, traces)
    code, output, _ = run.end()
    if end in GOES_ON:
        assert code == 0, output
    if end is _driver:  # what it was writing waits to be cleaned up, in one place
        (run.run_dir / "work" / "drafts").rmdir()
    traces.assert_nothing_left(run.run_dir)
    assert not traces.shared
    again = driver(flow, "--resume", env=traces.env)
    code, output, _ = again.end()
    assert code == 0, output
    traces.assert_nothing_left(run.run_dir, 0)


def test_a_later_run_removes_what_nobody_could_remove(driver, write_flow, tmp_path, traces):
    flow = write_flow(tmp_path / "flow", SLEEP)
    run = driver(flow, env=traces.env)
    run.wait_for_finished(2)
    _everything(run, traces)
    run.end()
    assert list(traces.tmp.iterdir())
    again = driver(flow, "--resume", env=traces.env)
    code, output, _ = again.end()
    assert code == 0, output
    traces.assert_nothing_left(run.run_dir, 0)


@pytest.mark.parametrize(("suffix", "number", "bins"), [(".png", 24, 100), (".root", 3, 1_000_000)])
def test_a_driver_that_is_killed_while_results_are_written(driver, write_flow, tmp_path, traces, suffix, number, bins):
    """They are many or large, so that they can be seen while they are written."""
    axes = [{"name": "x", "source": "x", "type": "regular", "bins": {"nbins": bins, "low": 0, "high": 200}}]
    plots = ["--plots"] if suffix == ".png" else []
    stages = [(f"H{i}", "hep.hist", {"axes": axes}) for i in range(number)]
    run = driver(write_flow(tmp_path / "flow", *stages), *plots, env=traces.env)
    drafts = run.run_dir / "work" / "drafts"
    run.wait_until(lambda: run.events("submitted"), 60)
    run.wait_until(lambda: "up" in run.states(), 60)
    writers = traces.processes()
    until = time.monotonic() + 200
    while not _stopped(writers, drafts, suffix):
        assert run.process.poll() is None, "it was never seen writing"
        assert time.monotonic() < until
    _everything(run, traces)
    run.end()
    assert [path.suffix for path in drafts.iterdir()].count(suffix) == 1
    written = {
        path.relative_to(run.run_dir) for name in ("results", "plots") for path in run.run_dir.glob(f"{name}/**/*")
    }
    again = driver(run.flow, "--resume", *plots, env=traces.env)
    code, output, _ = again.end()
    assert code == 0, output
    traces.assert_nothing_left(run.run_dir, 0)
    found = {
        path.relative_to(run.run_dir) for name in ("results", "plots") for path in run.run_dir.glob(f"{name}/**/*")
    }
    assert written <= found
    assert sum(path.suffix == suffix for path in found) == (number if plots else 1)


def _stopped(writers, drafts, suffix):
    """Stop the driver and its workers while one of them writes a file with `suffix`; return whether that was possible."""
    if not any(drafts.glob(f"*{suffix}")):
        return False
    for process in writers:
        with suppress(psutil.NoSuchProcess):
            process.suspend()
    if any(drafts.glob(f"*{suffix}")):
        return True
    for process in writers:
        with suppress(psutil.NoSuchProcess):
            process.resume()
    return False
