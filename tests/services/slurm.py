"""A real Slurm cluster of virtual nodes on this machine, for tests.

Daemons listen on 127.0.0.1 only, keep all they have in one folder and need no root; several clusters can coexist.
Nodes are declared, not enforced: only ``SLURMD_NODENAME`` tells a job where it is.
"""

from __future__ import annotations

import os
import random
import re
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from services import slurm_processes
from services.commands import Commands
from services.slurm_config import NAME, Partition, SlurmOptions, write_config
from services.slurm_processes import Process, end, kill, of_cluster, read_pid
from services.slurm_records import SACCT, Job, latest, parse_job, parse_sacct

__all__ = ["Job", "Partition", "SlurmCluster", "SlurmError", "SlurmOptions"]

COMMANDS = ("sbatch", "squeue", "scancel", "scontrol", "sinfo", "sacct", "srun", "salloc", "sacctmgr", "sprio")
PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch")
DBD_PROGRAMS = ("slurmdbd", "mariadbd", "mariadb-install-db")
LONGEST_FOLDER = 85  # characters: the path of a unix socket has at most 107


class SlurmError(Exception):
    """A daemon did not start, or a command of the cluster failed."""


def missing_programs(options: SlurmOptions) -> list[str]:
    """Return the programs that such a cluster needs and that are not installed."""
    needed = PROGRAMS + (DBD_PROGRAMS if options.accounting == "dbd" else ())
    return [name for name in needed if shutil.which(name, path=_path()) is None]


def _path() -> str:
    return f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


class SlurmCluster:
    """A cluster; `start` it, `stop` it.

    Parameters
    ----------
    options : SlurmOptions, optional
        How it differs from the usual one.

    Attributes
    ----------
    conf : Path
        Its slurm.conf; what SLURM_CONF must be for those who use it.
    commands : Commands
        The scheduler commands as its users see them: counted, and broken on demand.
    """

    def __init__(self, options: SlurmOptions | None = None) -> None:
        self.options = options or SlurmOptions()
        self._path = _path()
        base = tempfile.gettempdir()
        base = base if len(base) < LONGEST_FOLDER - 20 else "/tmp"
        self.folder = Path(tempfile.mkdtemp(prefix="slurm-", dir=base))
        self.folder.chmod(0o755)
        for name in ("dev", "etc", "log", "munge", "pid", "spool", "state"):
            (self.folder / name).mkdir()
        self.conf = self.folder / "etc" / "slurm.conf"
        self.commands = Commands(self.folder / "commands", COMMANDS, self._path)

    # ---------------------------------------------------------------- life

    @property
    def env(self) -> dict[str, str]:
        """What has to be in the environment of those who use the cluster."""
        path = os.environ.get("PATH", os.defpath)
        ours = str(self.commands.bin)
        return {"SLURM_CONF": str(self.conf), "PATH": path if path.startswith(ours) else f"{ours}:{path}"}

    @contextmanager
    def environment(self) -> Iterator[None]:
        """Have `env` in ``os.environ``, for a while."""
        before = {key: os.environ.get(key) for key in self.env}
        os.environ.update(self.env)
        try:
            yield
        finally:
            for key, value in before.items():
                if value is None:
                    os.environ.pop(key, None)
                else:
                    os.environ[key] = value

    def start(self) -> SlurmCluster:
        """Start all daemons and wait until every node answers.

        Raises
        ------
        SlurmError
            If one does not, with the end of its log; everything is stopped then.
        """
        try:
            write_config(self.folder, self.options, _free_ports())
            self._start_munge()
            if self.options.accounting == "dbd":
                self._start_database()
            self._daemon("slurmctld", "slurmctld")
            for node in self.options.nodes:
                (self.folder / "spool" / node.name).mkdir()
                self._daemon("slurmd", f"slurmd.{node.name}", "-N", node.name)
            self.wait_until_idle()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End the jobs and the daemons, and remove the folder."""
        daemons = ["slurmctld", *(f"slurmd.{node.name}" for node in self.options.nodes)]
        for name in [*daemons, "slurmdbd", "mariadbd", "munged"]:
            if pid := read_pid(self.folder / "pid" / name, self.conf):
                end(pid)
        while left := of_cluster(self.conf):
            kill(left)
        shutil.rmtree(self.folder, ignore_errors=True)

    def processes(self) -> list[Process]:
        """Return the live daemons and processes of jobs."""
        return of_cluster(self.conf)

    def _daemon(self, program: str, name: str, *args: str, **env: str) -> None:
        """Run a program that goes to the background by itself."""
        log = self.folder / "log" / f"{name}.out"
        command = [shutil.which(program, path=self._path) or program, *args]
        with log.open("a") as out:
            code = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=self._env() | env, cwd="/", check=False
            ).returncode
        if code:
            raise SlurmError(f"{program} did not start (exit {code}): {self._log_tail(name)}")

    def _log_tail(self, name: str) -> str:
        found = [self.folder / "log" / f"{name}{suffix}" for suffix in (".out", ".log")]
        return "\n".join("\n".join(f.read_text().splitlines()[-10:]) for f in found if f.exists())

    def _env(self) -> dict[str, str]:
        """Return the environment of daemons and of our own calls: real commands, nothing of the user's."""
        return {"PATH": self._path, "SLURM_CONF": str(self.conf), "HOME": str(Path.home()), "LANG": "C.UTF-8"}

    def _start_munge(self) -> None:
        key = self.folder / "munge" / "key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(1024))
        files = {"key-file": key, "socket": self.folder / "munge" / "sock", "pid-file": self.folder / "pid" / "munged"}
        files |= {"log-file": self.folder / "log" / "munged.log", "seed-file": self.folder / "munge" / "seed"}
        # Temporary folders fail munged's checks of who could write there, hence --force.
        self._daemon("munged", "munged", "--force", "--num-threads=2", *(f"--{k}={v}" for k, v in files.items()))

    def _start_database(self) -> None:
        database = self.folder / "db"
        database.mkdir(mode=0o700)  # there are no passwords: who can enter the folder may use the socket
        options = ["--no-defaults", f"--datadir={database}/data", f"--user={os.environ.get('USER', 'root')}"]
        if os.geteuid():
            options.pop()
        self._daemon("mariadb-install-db", "mariadb-install", *options, "--skip-test-db")
        sock, pid = database / "sock", self.folder / "pid" / "mariadbd"
        with (self.folder / "log" / "mariadbd.log").open("a") as log:
            server = subprocess.Popen(
                [shutil.which("mariadbd", path=self._path) or "mariadbd", *options, f"--socket={sock}",
                 f"--pid-file={pid}", "--skip-networking", "--skip-grant-tables", "--innodb-buffer-pool-size=32M",
                 "--innodb-flush-log-at-trx-commit=0", "--innodb-lock-wait-timeout=900"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._env(), start_new_session=True,
            )  # fmt: skip
        self._server = server
        self._wait(lambda: sock.exists() or server.poll() is not None, 30, "the database")
        self._daemon("slurmdbd", "slurmdbd", MYSQL_UNIX_PORT=str(sock))
        self._wait(lambda: self.run("sacctmgr", "-n", "show", "cluster", check=False) is not None, 30, "slurmdbd")
        self.run("sacctmgr", "-i", "add", "cluster", NAME)

    # ---------------------------------------------------------------- faults

    def crash_node(self, name: str) -> None:
        """Imitate the sudden death of a node: its daemon, its jobs' steps and their processes are gone at once."""
        while found := [process for process in self.processes() if process.node == name]:
            kill(found)

    def kill_slurmd(self, name: str) -> None:
        """Kill the daemon of a node only; what runs there goes on."""
        kill([p for p in self.processes() if p.node == name and p.name == "slurmd"])

    def revive(self, name: str) -> None:
        """Start the daemon of a dead node again, when Slurm has seen its death, and wait until it takes jobs."""
        if any(p.node == name and p.name == "slurmd" for p in self.processes()):
            return
        # A node that is back before its death was noticed leaves jobs that nobody ends.
        self._wait(lambda: self.node_states()[name].startswith("down"), 60, f"node {name} to be seen down")
        self._daemon("slurmd", f"slurmd.{name}", "-N", name)
        self._wait(lambda: self.node_states()[name] in {"idle", "mixed", "allocated"}, 30, f"node {name}")

    def kill_controller(self) -> None:
        """Kill slurmctld; commands fail until `restart_controller`."""
        if pid := read_pid(self.folder / "pid" / "slurmctld", self.conf):
            kill([Process(pid, "slurmctld", "")])

    def restart_controller(self) -> None:
        """Start slurmctld, after ending it if it lives, and wait until it answers; jobs go on meanwhile."""
        if pid := read_pid(self.folder / "pid" / "slurmctld", self.conf):
            end(pid)
        self._daemon("slurmctld", "slurmctld")
        self._wait(lambda: self.run("squeue", "-h", check=False) is not None, 30, "slurmctld")

    def break_command(
        self, name: str, exit: int = 1, stderr: str = "", partition: str | None = None, *, after_doing: bool = False
    ) -> None:
        """Make a scheduler command fail from now on.

        Parameters
        ----------
        name : str
            The command, like ``sbatch``.
        exit : int
            Its exit code.
        stderr : str
            What it says.
        partition : str, optional
            Only if this partition is named in its options or its submit script.
        after_doing : bool
            It does its work and then claims to have failed, as when the answer gets lost.
        """
        matching = rf"(^| )(-p|--partition)[= ]*{partition}( |$)" if partition else ""
        self.commands.fail(name, code=exit, stderr=stderr, matching=matching, after_doing=after_doing)

    def hang_command(self, name: str, seconds: float, partition: str | None = None) -> None:
        """Make a scheduler command wait for `seconds` before it does its work."""
        matching = rf"(^| )(-p|--partition)[= ]*{partition}( |$)" if partition else ""
        self.commands.hang(name, seconds, matching=matching)

    def repair(self, *names: str) -> None:
        """Let the named commands, or all, do their work again."""
        self.commands.repair(*names)

    def restore(self) -> None:
        """Undo all faults: commands, controller, dead nodes; what is in the queue stays."""
        self.repair()
        if not read_pid(self.folder / "pid" / "slurmctld", self.conf):
            self.restart_controller()
        for node in self.options.nodes:
            self.revive(node.name)

    # ---------------------------------------------------------------- use and records

    def run(self, command: str, *args: str, check: bool = True) -> str | None:
        """Run a real, uncounted scheduler command; its output, or None if it failed and `check` is false.

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
        """Submit a shell script, with options of sbatch; the id of the job."""
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
        """Return every job since the start by its id, from Slurm's own records, as it is now or as it ended."""
        written = self.folder / "log" / "jobcomp.txt"
        ended = [parse_job(line) for line in written.read_text().splitlines()] if written.exists() else []
        return latest([*ended, *self._shown()])

    def accounting(self) -> dict[int, Job]:
        """Return what sacct knows; for clusters with accounting."""
        fields = ("--allocations", "--noheader", "--parsable2", f"--format={SACCT}", "--starttime=now-1day")
        return latest(parse_sacct(line) for line in (self.run("sacct", *fields) or "").splitlines())

    def job_nodes(self, job_id: int) -> list[str]:
        """Return the names of the nodes on which a job ran, or runs."""
        nodes = self.history()[job_id].nodes
        if "[" not in nodes:
            return [name for name in nodes.split(",") if name]
        return (self.run("scontrol", "show", "hostnames", nodes) or "").split()

    def command_counts(self, since: float = 0.0) -> dict[str, int]:
        """Return how often each scheduler command was called from outside of jobs, since a time (epoch, s)."""
        return dict(self.commands.counts(since))

    def node_states(self) -> dict[str, str]:
        """Return the state of each node, as sinfo writes it (``idle``, ``mixed``, ``down*``, …)."""
        lines = (self.run("sinfo", "-h", "-N", "-o", "%N %T") or "").splitlines()
        return dict(sorted({tuple(line.split()) for line in lines}))

    def wait_for(self, job_id: int, *states: str, timeout: float = 30.0) -> Job:
        """Wait until a job is in one of the states, or has ended if none is given; seconds.

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
        """Wait until nothing is in the queue; what still is when the time (seconds) is over."""
        deadline = time.monotonic() + timeout
        while (left := self.jobs()) and time.monotonic() < deadline:
            time.sleep(0.1)
        return left

    def wait_until_idle(self, timeout: float = 30.0) -> None:
        """Wait until all nodes are up and without work; seconds."""
        names = {node.name for node in self.options.nodes}
        self._wait(lambda: self._idle() == names, timeout, "all nodes to be idle")

    def cancel_all(self) -> None:
        """Cancel everything in the queue and wait for its end."""
        if found := [str(job.id) for job in self.jobs()]:
            self.run("scancel", *found, check=False)
            self.wait_until_empty()

    def _idle(self) -> set[str]:
        return {name for name, state in self.node_states().items() if state == "idle"}

    def _shown(self) -> list[Job]:
        text = self.run("scontrol", "--oneliner", "show", "job") or ""
        return [parse_job(line) for line in text.splitlines() if re.match(r"JobId=\d", line)]

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


def _free_ports() -> int:
    """Return the first of 60 ports that nobody listens on; chosen at random, as clusters may start at once."""
    for _ in range(50):
        first = random.randrange(20000, 32000, 100)
        if all(_is_free(port) for port in range(first, first + 20)):
            return first
    raise SlurmError("no block of free ports between 20000 and 32000")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) != 0
