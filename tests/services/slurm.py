"""A real Slurm cluster of virtual nodes on this machine, for tests.

Daemons listen on 127.0.0.1 only, keep all they have in one folder and need no root; several clusters can coexist.
Nodes are declared, not enforced: only ``SLURMD_NODENAME`` tells a job where it is.
"""

from __future__ import annotations

import os
import random
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.slurm_client import SlurmClient, SlurmError, search_path
from services.slurm_commands import Commands
from services.slurm_config import NAME, Partition, SlurmOptions, write_config
from services.slurm_processes import Process, end, kill, of_cluster, read_pid
from services.slurm_records import Job

__all__ = ["Job", "Partition", "SlurmCluster", "SlurmError", "SlurmOptions"]

COMMANDS = ("sbatch", "squeue", "scancel", "scontrol", "sinfo", "sacct", "srun", "salloc", "sacctmgr", "sprio")
PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch")
DBD_PROGRAMS = ("slurmdbd", "mariadbd", "mariadb-install-db")
LONGEST_FOLDER = 85  # characters: the path of a unix socket has at most 107


def missing_programs(options: SlurmOptions) -> list[str]:
    """Return the programs that such a cluster needs and that are missing."""
    needed = PROGRAMS + (DBD_PROGRAMS if options.accounting == "dbd" else ())
    return [name for name in needed if shutil.which(name, path=search_path()) is None]


class SlurmCluster(SlurmClient):
    """A cluster; `start` it, `stop` it.

    Parameters
    ----------
    options : SlurmOptions, optional
        How it differs from the usual one.

    Attributes
    ----------
    commands : Commands
        The scheduler commands as its users see them: counted, and broken on demand.
    """

    def __init__(self, options: SlurmOptions | None = None) -> None:
        self.options = options or SlurmOptions()
        base = tempfile.gettempdir()
        base = base if len(base) < LONGEST_FOLDER - 20 else "/tmp"
        super().__init__(Path(tempfile.mkdtemp(prefix="slurm-", dir=base)))
        self.folder.chmod(0o755)
        for name in ("dev", "etc", "log", "munge", "pid", "spool", "state"):
            (self.folder / name).mkdir()
        self._server: subprocess.Popen[bytes] | None = None
        self._ports: socket.socket | None = None
        self.commands = Commands(self.folder / "commands", COMMANDS, self._path)

    # ---------------------------------------------------------------- start and stop

    @property
    def env(self) -> dict[str, str]:
        """Environment variables of programs that use the cluster."""
        path = os.environ.get("PATH", os.defpath)
        ours = str(self.commands.bin)
        return {"SLURM_CONF": str(self.conf), "PATH": path if path.startswith(ours) else f"{ours}:{path}"}

    @contextmanager
    def environment(self) -> Iterator[None]:
        """Add `env` to ``os.environ`` inside a with block."""
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
        """Start all daemons and wait until every node responds.

        Raises
        ------
        SlurmError
            If one does not, with the end of its log; everything is stopped then.
        """
        try:
            first, self._ports = _reserve_ports()
            write_config(self.folder, self.options, first)
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
        if self._server is not None:
            self._server.wait()
        if self._ports is not None:
            self._ports.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def processes(self) -> list[Process]:
        """Return the live daemons and processes of jobs."""
        return of_cluster(self.conf)

    def _daemon(self, program: str, name: str, *args: str, **env: str) -> None:
        """Run a program that becomes a daemon by itself."""
        log = self.folder / "log" / f"{name}.out"
        command = [shutil.which(program, path=self._path) or program, *args]
        with log.open("a") as out:
            code = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=self._env() | env, cwd="/", check=False
            ).returncode
        if code:
            raise SlurmError(f"{program} did not start (exit {code}): {self._log_tail(name)}")

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
        database.mkdir(mode=0o700)  # without passwords: whoever can enter the folder can use the socket
        options = ["--no-defaults", f"--datadir={database}/data"]
        options += ["--user=root"] if os.geteuid() == 0 else []
        self._daemon("mariadb-install-db", "mariadb-install", *options, "--skip-test-db")
        sock, pid = database / "sock", self.folder / "pid" / "mariadbd"
        with (self.folder / "log" / "mariadbd.log").open("a") as log:
            self._server = subprocess.Popen(
                [shutil.which("mariadbd", path=self._path) or "mariadbd", *options, f"--socket={sock}",
                 f"--pid-file={pid}", "--skip-networking", "--skip-grant-tables", "--innodb-buffer-pool-size=32M",
                 "--innodb-flush-log-at-trx-commit=0", "--innodb-lock-wait-timeout=900"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._env(), start_new_session=True,
            )  # fmt: skip
        self._wait(lambda: sock.exists() or self._server.poll() is not None, 30, "the database")
        self._daemon("slurmdbd", "slurmdbd", MYSQL_UNIX_PORT=str(sock))
        self._wait(lambda: self.run("sacctmgr", "-n", "show", "cluster", check=False) is not None, 30, "slurmdbd")
        self.run("sacctmgr", "-i", "add", "cluster", NAME)

    # ---------------------------------------------------------------- faults

    def crash_node(self, name: str) -> None:
        """Kill the daemon, the job steps and the processes of a node at once, like a power cut."""
        while found := [process for process in self.processes() if process.node == name]:
            kill(found)

    def kill_slurmd(self, name: str) -> None:
        """Kill the daemon of a node. Its jobs continue."""
        kill([p for p in self.processes() if p.node == name and p.name == "slurmd"])

    def revive(self, name: str) -> None:
        """Start the daemon of a dead node again, after Slurm has noticed its death; wait until it accepts jobs."""
        if any(p.node == name and p.name == "slurmd" for p in self.processes()):
            return
        # If a node returns before Slurm has noticed its death, its jobs never end.
        self._wait(lambda: self.node_states()[name].startswith("down"), 60, f"node {name} to be seen down")
        self._daemon("slurmd", f"slurmd.{name}", "-N", name)
        self._wait(lambda: self.node_states()[name] in {"idle", "mixed", "allocated"}, 30, f"node {name}")

    def kill_controller(self) -> None:
        """Kill slurmctld; commands fail, after 4 s each, until `restart_controller`.

        Slurm writes down what happens to jobs within 5 s: of a job that started just before, it then does not know.
        """
        if pid := read_pid(self.folder / "pid" / "slurmctld", self.conf):
            kill([Process(pid, "slurmctld", "")])

    def restart_controller(self) -> None:
        """Restart slurmctld and wait until it answers. Jobs continue."""
        if pid := read_pid(self.folder / "pid" / "slurmctld", self.conf):
            end(pid)
        self._daemon("slurmctld", "slurmctld")
        self._wait(lambda: self.run("squeue", "-h", check=False) is not None, 30, "slurmctld")

    def break_command(
        self,
        name: str,
        exit: int = 1,  # noqa: A002
        stderr: str = "",
        partition: str | None = None,
        *,
        after_doing: bool = False,
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
        """Delay a scheduler command by `seconds`."""
        matching = rf"(^| )(-p|--partition)[= ]*{partition}( |$)" if partition else ""
        self.commands.hang(name, seconds, matching=matching)

    def repair(self, *names: str) -> None:
        """Undo the faults of the named commands, or of all."""
        self.commands.repair(*names)

    def command_counts(self, since: float = 0.0) -> dict[str, int]:
        """Return the number of calls of each scheduler command from outside of jobs, since a time (epoch, s)."""
        return dict(self.commands.counts(since))

    def restore(self) -> None:
        """Undo all faults of commands, controller and nodes. Jobs stay in the queue."""
        self.repair()
        if not read_pid(self.folder / "pid" / "slurmctld", self.conf):
            self.restart_controller()
        for node in self.options.nodes:
            self.revive(node.name)


def _reserve_ports() -> tuple[int, socket.socket]:
    """Return the first of 60 free ports, and what keeps other clusters, also of other processes, off them."""
    for _ in range(200):
        first = random.randrange(20000, 32000, 100)
        ours = socket.socket(socket.AF_UNIX)
        try:
            ours.bind(f"\0slurm-of-tests-{first}")  # a name that no file has, and that ends with the socket
        except OSError:
            ours.close()
            continue
        if all(_is_free(port) for port in range(first, first + 20)):
            return first, ours
        ours.close()
    raise SlurmError("no block of free ports between 20000 and 32000")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) != 0
