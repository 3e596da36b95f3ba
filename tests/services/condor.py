"""A real HTCondor pool whose machines are folders and processes of this one: start, watch, break and stop it.

All daemons use the loopback address, keep their files in one folder, and end with the process that started them.
`install_condor.sh` installs the software.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self, TypeVar

from services.condor_commands import Commands
from services.condor_config import NODES, Node, hiding_wrapper, machine_config
from services.condor_machine import MARK, Machine, check_host, entering, free_port, kill, processes
from services.condor_records import OVER, CondorUnavailableError, Job, prefix, read_jobs

T = TypeVar("T")
SCHEDD_ADDRESS = "spool/.schedd_address"  # the schedd writes it when it is ready


class CondorPool:
    """A pool: a central manager, a submit machine and nodes.

    Parameters
    ----------
    home : Path
        Folder for its state. Jobs run in subfolders.
    nodes : sequence of Node
        The machines that run jobs.
    hide : sequence of Path
        Folders that are empty for jobs, so that a job can read only transferred files. Without such folders, jobs share
        all files with the submit machine, and HTCondor is configured for it.
    config : str
        Further lines of configuration for all machines.

    Attributes
    ----------
    commands : Commands
        Wrapper scripts in PATH. They count calls, and can fail or hang.
    """

    def __init__(
        self, home: Path, *, nodes: Sequence[Node] = NODES, hide: Sequence[Path] = (), config: str = ""
    ) -> None:
        self.home = home.resolve()
        self.nodes = tuple(nodes)
        self.hide = tuple(hide)
        self.config = config
        self.commands = Commands(self.home / "commands")
        self._machines: dict[str, Machine] = {}

    # ------------------------------------------------------------------------------------------ start and stop
    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, timeout: float = 60.0) -> None:
        """Start all machines; wait until the queue answers and the pool lists every node.

        Parameters
        ----------
        timeout : float
            s.

        Raises
        ------
        CondorUnavailableError
            HTCondor is not installed or cannot run here.
        """
        self._prefix = prefix()
        check_host(hides=bool(self.hide))
        port = free_port()
        for name, node in {"central": None, "submit": None, **{node.name: node for node in self.nodes}}.items():
            folder = self.home / name
            machine = Machine(name, folder, self._prefix / "usr" / "sbin" / "condor_master")
            text = machine_config(name, node, prefix=self._prefix, folder=folder, port=port, hides=bool(self.hide))
            machine.write(text + self.config, hiding_wrapper(self.hide) if node and self.hide else "")
            self._machines[name] = machine
        self._write_commands()
        try:
            for machine in self._machines.values():
                machine.start()
            self._await_nodes([node.name for node in self.nodes], timeout)
            self._await_queue(timeout)
        except BaseException:
            self.stop()
            raise

    def _write_commands(self) -> None:
        programs = [
            program
            for folder in ("bin", "sbin")
            for program in sorted((self._prefix / "usr" / folder).glob("condor_*"))
            if program.is_file() and program.name != "condor_master"
        ]
        settings = {"CONDOR_CONFIG": self.env["CONDOR_CONFIG"], MARK: str(self.home / "commands")}
        self.commands.write(programs, entering(), settings)

    @property
    def env(self) -> dict[str, str]:
        """Environment variables of programs that use this pool."""
        path = os.environ.get("PATH", os.defpath).split(os.pathsep)
        first = str(self.commands.bin)
        return {
            "PATH": os.pathsep.join([first, *(entry for entry in path if entry != first)]),
            "CONDOR_CONFIG": str(self.home / "submit" / "condor_config"),
        }

    def stop(self) -> None:
        """Stop all daemons and jobs."""
        for machine in self._machines.values():
            machine.ask_to_stop()
        deadline = time.monotonic() + 10.0
        for machine in self._machines.values():
            machine.wait(deadline)
            machine.crash()
        kill(self.home)  # commands that hang

    def processes(self) -> list[int]:
        """Return the process ids of all daemons, jobs and commands of this pool."""
        return processes(self.home)

    # ------------------------------------------------------------------------------------------ records
    def _ask(self, command: str, *arguments: str, folder: Path | None = None) -> str:
        """Run a real command in `folder`, not its wrapper script; return its output."""
        env = {**os.environ, "CONDOR_CONFIG": self.env["CONDOR_CONFIG"], MARK: str(self.home / "commands")}
        full = [*entering(), str(self._prefix / "usr" / "bin" / command), *arguments]
        done = subprocess.run(full, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=60)
        if done.returncode != 0:
            raise RuntimeError(f"{command} {' '.join(arguments)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def jobs(self) -> list[Job]:
        """Return the jobs in the queue."""
        return read_jobs(self._ask("condor_q", "-allusers", "-json"))

    def history(self) -> list[Job]:
        """Return the jobs that left the queue."""
        return read_jobs(self._ask("condor_history", "-json"))

    def job(self, number: int | str) -> Job:
        """Return a job from the queue or the history.

        Parameters
        ----------
        number : int or str
            Its cluster, or ``cluster.proc``.

        Raises
        ------
        LookupError
            There has been no such job.
        """
        wanted = str(number) if "." in str(number) else f"{number}.0"
        # the queue first: a job is in the history before it leaves the queue
        for records in (self.jobs, self.history):
            for job in records():
                if job.id == wanted:
                    return job
        raise LookupError(f"no job {wanted}")

    def wait(self, number: int | str, *statuses: str, timeout: float = 30.0) -> Job:
        """Return a job as soon as its status is one of `statuses`.

        Raises
        ------
        TimeoutError
            It is not within `timeout` s.
        """
        return wait_until(
            lambda: job if (job := self.job(number)).status in statuses else None,
            timeout,
            lambda: f"job {number} is not {' or '.join(statuses)}: {self.job(number)}",
        )

    # ------------------------------------------------------------------------------------------ jobs
    def submit(self, text: str, folder: Path) -> int:
        """Submit a job from `folder`; return its cluster."""
        file = folder / "job.submit"
        file.write_text(text)
        return int(self._ask("condor_submit", "-terse", file.name, folder=folder).split(".")[0])

    def hold(self, number: int | str) -> None:
        """Hold a job."""
        self._ask("condor_hold", str(number))

    def release(self, number: int | str) -> None:
        """Release a held job."""
        self._ask("condor_release", str(number))

    def vacate(self, number: int | str, *, fast: bool = False) -> None:
        """Evict a running job; it returns to the queue. `fast`: kill it at once."""
        self._ask("condor_vacate_job", *(["-fast"] if fast else []), str(number))

    def remove(self, number: int | str) -> None:
        """Remove a job."""
        self._ask("condor_rm", str(number))

    # ------------------------------------------------------------------------------------------ faults
    def crash_node(self, name: str) -> None:
        """Kill the daemons and jobs of a node at once, like a power cut."""
        self._machines[name].crash()

    def revive(self, name: str, timeout: float = 30.0) -> None:
        """Start a node again and wait until the pool lists it."""
        self._machines[name].start()
        self._await_nodes([name], timeout)

    def kill_schedd(self) -> None:
        """Kill the submit machine until `restart_schedd`. The queue does not answer; jobs continue."""
        self._machines["submit"].crash()

    def restart_schedd(self, timeout: float = 30.0) -> None:
        """Restart the daemon of the queue and wait until it answers."""
        submit = self._machines["submit"]
        before = submit.stamp(SCHEDD_ADDRESS)
        if submit.running:
            kill(submit.folder, "condor_schedd")  # its master starts another one
        else:
            submit.start()
        wait_until(lambda: submit.stamp(SCHEDD_ADDRESS) != before or None, timeout, lambda: "no other schedd")
        self._await_queue(timeout)

    def break_command(self, command: str, *, code: int = 1, stderr: str = "it does not work today") -> None:
        """Make a command write `stderr` and exit with `code`, until `repair`."""
        self.commands.fail(command, code, stderr)

    def hang_command(self, command: str, seconds: float) -> None:
        """Delay a command by `seconds`, until `repair`."""
        self.commands.hang(command, seconds)

    def repair(self) -> None:
        """Undo all faults of commands and machines."""
        self.commands.repair()
        down = [name for name, machine in self._machines.items() if not machine.running]
        for name in down:
            self._machines[name].start()
        self._await_nodes([name for name in down if name != "submit"], 30.0)
        self._await_queue(30.0)

    def sweep(self) -> list[Job]:
        """Remove all jobs from the queue; return those that had not ended."""
        left = self.jobs()
        if left:
            ids = [job.id for job in left]
            for force in ([], ["-forcex"]):  # the second for jobs that stay in the queue
                with suppress(RuntimeError):  # some have ended already
                    self._ask("condor_rm", *force, *ids)
            wait_until(lambda: not self.jobs() or None, 30.0, lambda: f"jobs stay in the queue: {self.jobs()}")
        return [job for job in left if job.status not in OVER]

    # ------------------------------------------------------------------------------------------ waiting
    def _await_queue(self, timeout: float) -> None:
        self._until_answer(lambda: self._ask("condor_q", "-totals"), timeout, "the queue does not answer")

    def _await_nodes(self, names: Sequence[str], timeout: float) -> None:
        def known() -> bool | None:
            lines = self._ask("condor_status", "-af", "Machine", "DaemonStartTime").splitlines()
            since: dict[str, int] = {}
            for machine, start in (line.split() for line in lines):
                name = machine.partition(".")[0]
                since[name] = max(int(start), since.get(name, 0))
            # an older ad belongs to a node that crashed
            return all(since.get(name, 0) >= int(self._machines[name].started) for name in names) or None

        self._until_answer(known, timeout, f"the pool does not know {', '.join(names)}")

    def _until_answer(self, question: Callable[[], object | None], timeout: float, problem: str) -> None:
        def asked() -> object | None:
            for machine in self._machines.values():
                machine.check()
            try:
                return question()
            except RuntimeError:
                return None

        try:
            wait_until(asked, timeout, lambda: problem)
        except TimeoutError as error:
            raise CondorUnavailableError(str(error)) from None


def wait_until(question: Callable[[], T | None], timeout: float, problem: Callable[[], str]) -> T:
    """Call a function until its result is not None; return it. After `timeout` s raise `TimeoutError` with `problem`."""
    deadline = time.monotonic() + timeout
    while (answer := question()) is None:
        if time.monotonic() > deadline:
            raise TimeoutError(problem())
        time.sleep(0.1)
    return answer
