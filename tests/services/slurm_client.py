"""Client of a Slurm cluster, for tests: real commands, which are not counted, and Slurm's records."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from services.slurm_records import SACCT, Job, latest, parse_job, parse_sacct


class SlurmError(Exception):
    """A daemon did not start, or a command of the cluster failed."""


def search_path() -> str:
    """Return the search path of programs. Daemons are not on the PATH of ordinary users."""
    return f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


class SlurmClient:
    """The queries and commands of a test.

    Parameters
    ----------
    folder : Path
        The cluster's folder.

    Attributes
    ----------
    conf : Path
        Its slurm.conf; what SLURM_CONF must be for those who use it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.conf = folder / "etc" / "slurm.conf"
        self._path = search_path()

    def run(self, command: str, *args: str, check: bool = True) -> str | None:
        """Run a real scheduler command; return its output, or None if it failed and `check` is false.

        Raises
        ------
        SlurmError
            If it failed, with what it said.
        """
        done = subprocess.run(
            [shutil.which(command, path=self._path) or command, *args],
            capture_output=True, text=True, env=self._env(), stdin=subprocess.DEVNULL, timeout=60, check=False,
        )  # fmt: skip
        if done.returncode == 0:
            return done.stdout
        if check:
            raise SlurmError(f"{command} {' '.join(args)} (exit {done.returncode}): {done.stderr.strip()}")
        return None

    def submit(self, script: str, *args: str) -> int:
        """Submit a shell script with options of sbatch; return the id of the job."""
        file = self.folder / f"job-{secrets.token_hex(4)}.sh"
        file.write_text(f"#!/bin/sh\n{script}\n")
        output = self.run("sbatch", "--parsable", f"--output={self.folder}/job-%j.out", *args, str(file))
        return int((output or "").split(";")[0])

    def output(self, job_id: int) -> str:
        """Return what a job of `submit` printed."""
        return (self.folder / f"job-{job_id}.out").read_text()

    def jobs(self) -> list[Job]:
        """Return the jobs that are in the queue: waiting, running, ending."""
        return [job for job in self._shown() if not job.ended]

    def history(self) -> dict[int, Job]:
        """Return id → last record of every job since the start, from Slurm's own records."""
        written = self.folder / "log" / "jobcomp.txt"
        ended = [parse_job(line) for line in written.read_text().splitlines()] if written.exists() else []
        return latest([*ended, *self._shown()])

    def accounting(self) -> dict[int, Job]:
        """Return the records of sacct; for clusters with accounting."""
        fields = ("--allocations", "--noheader", "--parsable2", f"--format={SACCT}", "--starttime=now-1day")
        return latest(parse_sacct(line) for line in (self.run("sacct", *fields) or "").splitlines())

    def job_nodes(self, job_id: int) -> list[str]:
        """Return the names of the nodes on which a job ran, or runs."""
        nodes = self.history()[job_id].nodes
        if "[" not in nodes:
            return [name for name in nodes.split(",") if name]
        return (self.run("scontrol", "show", "hostnames", nodes) or "").split()

    def node_states(self) -> dict[str, str]:
        """Return the state of each node, as sinfo writes it (``idle``, ``mixed``, ``down*``, …)."""
        lines = (self.run("sinfo", "-h", "-N", "-o", "%N %T") or "").splitlines()
        return dict(sorted({tuple(line.split()) for line in lines}))

    def wait_for(self, job_id: int, *states: str, timeout: float = 30.0) -> Job:
        """Wait until a job is in one of the states, or, without states, has ended.

        Raises
        ------
        SlurmError
            If it takes longer, with the job's record.
        """
        deadline = time.monotonic() + timeout
        while True:
            job = self.history().get(job_id)
            if job and (job.state in states if states else job.ended):
                return job
            if time.monotonic() > deadline:
                raise SlurmError(f"job {job_id} is not {' or '.join(states) or 'ended'} after {timeout} s: {job}")
            time.sleep(0.1)

    def wait_until_empty(self, timeout: float = 30.0) -> list[Job]:
        """Wait at most `timeout` seconds until the queue is empty; return the jobs that are left."""
        deadline = time.monotonic() + timeout
        while (left := self.jobs()) and time.monotonic() < deadline:
            time.sleep(0.1)
        return left

    def wait_until_idle(self, timeout: float = 30.0) -> None:
        """Wait until all nodes are idle; at most `timeout` seconds."""
        names = {node.name for node in self.options.nodes}
        self._wait(lambda: self._idle() == names, timeout, "all nodes to be idle")

    def cancel_all(self) -> None:
        """Cancel all jobs and wait until they have ended."""
        if found := [str(job.id) for job in self.jobs()]:
            self.run("scancel", *found, check=False)
            self.wait_until_empty()

    def _idle(self) -> set[str]:
        return {name for name, state in self.node_states().items() if state == "idle"}

    def _shown(self) -> list[Job]:
        text = self.run("scontrol", "--oneliner", "show", "job") or ""
        return [parse_job(line) for line in text.splitlines() if re.match(r"JobId=\d", line)]

    def _log_tail(self, name: str) -> str:
        found = [self.folder / "log" / f"{name}{suffix}" for suffix in (".out", ".log")]
        return "\n".join("\n".join(f.read_text().splitlines()[-10:]) for f in found if f.exists())

    def _env(self) -> dict[str, str]:
        """Return the environment of daemons and of our own calls: real commands, and no settings of the user."""
        return {"PATH": self._path, "SLURM_CONF": str(self.conf), "HOME": str(Path.home()), "LANG": "C.UTF-8"}

    def _wait(self, done: Callable[[], bool], timeout: float, what: str) -> None:
        deadline = time.monotonic() + timeout
        while not _quietly(done):
            if time.monotonic() > deadline:
                logs = "".join(f"\n{name}: {self._log_tail(name)}" for name in ("slurmctld", "slurmdbd", "mariadbd"))
                raise SlurmError(f"waited {timeout} s for {what}{logs}")
            time.sleep(0.1)


def _quietly(done: Callable[[], bool]) -> bool:
    try:
        return done()
    except SlurmError:
        return False
