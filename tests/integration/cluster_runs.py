"""Runs on a batch system as users start them: on a site of the tests, watched from outside, many side by side."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from integration.runs import Driver


def write_site(folder: Path, extends: str, **keys: Any) -> Path:
    """Write a site profile that extends a shipped one; return its path."""
    path = folder / f"{extends}_tests.yaml"
    path.write_text(json.dumps({"extends": extends, "network": {"address": "127.0.0.1"}, **keys}))  # JSON is YAML
    return path


class ClusterRun(Driver):
    """A run on a batch system.

    Parameters
    ----------
    flow : Path
        The workflow; the run directory is ``run`` beside it.
    site : Path
        The site profile.
    arguments : str
        More options of ``fasthep-parsl run``.
    env : mapping
        What the batch system adds to the environment of its users.
    program : tuple of str
        Arguments of Python that start the command line.
    """

    def __init__(
        self,
        flow: Path,
        site: Path,
        *arguments: str,
        env: Mapping[str, str],
        program: tuple[str, ...] = ("-m", "fasthep_parsl"),
    ) -> None:
        self._env = {**os.environ, **env}
        super().__init__(flow, "--site", str(site), *arguments, env=self._env, program=program)

    def blocks(self, *states: str, pool: str = "default") -> list[dict[str, Any]]:
        """Return what happened to blocks of a pool, oldest first."""
        return [e for e in self.events("block") if e["pool"] == pool and (not states or e["state"] in states)]

    def jobs(self, pool: str = "default") -> list[str]:
        """Return the ids of the jobs that were submitted for a pool."""
        return [event["job"] for event in self.blocks("submitted", pool=pool)]

    def wait_for_block(self, state: str, *, pool: str = "default", number: int = 1, seconds: float = 150) -> dict:
        """Wait until something has happened to `number` blocks; return the last of these events."""
        self.wait_until(lambda: len(self.blocks(state, pool=pool)) >= number, seconds)
        return self.blocks(state, pool=pool)[number - 1]

    def wait_for_results(self, number: int = 1, seconds: float = 150) -> None:
        """Wait until `number` tasks have finished."""
        self.wait_until(lambda: len(self.events("finished")) >= number, seconds)

    def assert_complete(self, total: int, seconds: float = 200, *, stage: str = "Sum") -> None:
        """Wait for the end: complete, and the sum is what it is without any fault."""
        code, output, _ = self.end(seconds)
        assert code == 0, output
        assert self.summary()["status"] == "complete"
        assert self.product(stage) == total

    def product(self, stage: str = "Sum", name: str = "sum") -> Any:
        """Return a product as it was written."""
        return json.loads((self.run_dir / "results" / stage / f"{name}.json").read_text())

    def seconds_to_recover(self, fault: float) -> float:
        """Return the seconds from a fault to the first result of a worker that had none before.

        Parameters
        ----------
        fault : float
            When it was, seconds since the epoch.
        """
        finished = [(when(event), event["pid"]) for event in self.events("finished")]
        known = {pid for at, pid in finished if at <= fault}
        return min((at - fault for at, pid in finished if at > fault and pid not in known), default=math.nan)

    def clean_up(self) -> tuple[int, str]:
        """Run ``fasthep-parsl cleanup``; return its exit code and what it says."""
        command = [sys.executable, "-m", "fasthep_parsl", "cleanup", str(self.run_dir)]
        done = subprocess.run(command, env=self._env, capture_output=True, text=True, timeout=120, check=False)
        return done.returncode, done.stdout + done.stderr

    def kill(self) -> None:
        """End it without mercy."""
        if self.process.poll() is None:
            self.signal(signal.SIGKILL)
        with suppress(ValueError):  # its output was read before
            self.process.communicate()


def when(event: Mapping[str, Any]) -> float:
    """Return the time of an event, seconds since the epoch."""
    return datetime.fromisoformat(event["time"]).timestamp()


# --- where tasks ran ------------------------------------------------------------------------------------------


class Whereabouts:
    """Notes, while a run goes on, in which job of the batch system each process lives.

    Parameters
    ----------
    variable : str
        What the batch system sets in the environment of its jobs, like ``SLURM_JOB_ID``.
    """

    def __init__(self, variable: str) -> None:
        self.jobs: dict[int, str] = {}
        self._key = f"{variable}=".encode()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.1):
            for pid, environ in _environments(self.jobs):
                for entry in environ:
                    if entry.startswith(self._key):
                        self.jobs[pid] = entry[len(self._key) :].decode()


def processes_with(variable: str) -> dict[int, str]:
    """Return id and name of the live processes that have ``NAME=value`` in their environment."""
    found = {}
    for pid, environ in _environments(()):
        if variable.encode() in environ:
            with suppress(OSError):
                found[pid] = Path(f"/proc/{pid}/comm").read_text().strip()
    return found


def _environments(known: Container[int]) -> Iterator[tuple[int, list[bytes]]]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) not in known:
            with suppress(OSError):  # it has ended, or is another user's
                yield int(folder.name), (folder / "environ").read_bytes().split(b"\0")


# --- results --------------------------------------------------------------------------------------------------


def results(run_dir: Path) -> dict[str, Any]:
    """Return all results of a run that are numbers and words."""
    folder = run_dir / "results"
    return {str(f.relative_to(folder)): json.loads(f.read_text()) for f in sorted(folder.rglob("*.json"))}


def differences(one: Any, other: Any, path: str = "") -> list[str]:
    """Return where two results differ: integers and words at all, real numbers by more than 1e-12 of themselves."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return [found for key in one for found in differences(one[key], other[key], f"{path}/{key}")]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [f for n, pair in enumerate(zip(one, other, strict=True)) for f in differences(*pair, f"{path}[{n}]")]
    if isinstance(one, float) and isinstance(other, float):
        same = math.isclose(one, other, rel_tol=1e-12) or (math.isnan(one) and math.isnan(other))
    else:
        same = type(one) is type(other) and one == other
    return [] if same else [f"{path}: {one!r} != {other!r}"]


# --- many at a time -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tools:
    """What scenarios need of the test session; they run in threads, where there are no fixtures.

    Parameters
    ----------
    write_flow : callable
        See the fixture.
    folder : callable
        ``folder(name)`` makes a folder of this name.
    """

    write_flow: Callable[..., Path]
    folder: Callable[[str], Path]


class Campaign:
    """Scenarios that run side by side, because they wait most of the time.

    Parameters
    ----------
    scenarios : iterable of callable
        What is to run, in the order in which it begins; each is called with `tools`.
    tools : Tools
        What they need.
    at_once : int
        How many run at a time.
    """

    def __init__(self, scenarios: Iterable[Callable[[Tools], None]], tools: Tools, at_once: int) -> None:
        self._threads = ThreadPoolExecutor(at_once)
        self._futures: dict[Any, Future[None]] = {one: self._threads.submit(one, tools) for one in scenarios}

    def result(self, scenario: Callable[[Tools], None]) -> None:
        """Wait for a scenario; raise what it has raised."""
        self._futures[scenario].result()

    def close(self) -> None:
        """Begin nothing any more; wait for those that run."""
        self._threads.shutdown(cancel_futures=True)


_LOCK = threading.Lock()


def note_recovery(system: str, fault: str, seconds: float) -> None:
    """Write into the file that FASTHEP_FAULT_TIMES names, if it does, how long it took to recover."""
    if path := os.environ.get("FASTHEP_FAULT_TIMES"):
        with _LOCK:
            file = Path(path)
            known = json.loads(file.read_text()) if file.exists() else {}
            known.setdefault(system, {})[fault] = round(seconds, 1)
            file.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")
