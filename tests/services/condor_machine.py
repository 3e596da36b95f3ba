"""One machine of the test pool: an HTCondor master, its daemons and their jobs, all ordinary processes."""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from services.condor_records import CondorUnavailableError

#: Environment variable of all daemons and commands of a pool: the folder of the machine.
MARK = "FASTHEP_CONDOR_MACHINE"


def entering() -> list[str]:
    """Return the prefix of the command lines of HTCondor's programs.

    For root, HTCondor would switch users and refuse root's jobs. In a user namespace root looks like an ordinary
    user, whose files are root's outside.
    """
    if os.getuid() != 0:
        return []
    known = {user.pw_uid for user in pwd.getpwall()}
    uid = 1000 if 1000 in known else 1  # HTCondor requires a user with a name
    return ["unshare", "--user", f"--map-user={uid}", f"--map-group={uid}", "--"]


def check_host(*, hides: bool) -> None:
    """Raise `CondorUnavailableError` if this machine cannot run a pool, or a pool that `hides` folders from jobs."""
    needed = ["setpriv", *(["unshare"] if entering() or hides else [])]
    if missing := [program for program in needed if shutil.which(program) is None]:
        raise CondorUnavailableError(f"no {' and no '.join(missing)} on this machine")
    tries = [[*entering(), "true"]]
    if hides:
        tries.append(["unshare", "--user", "--map-root-user", "--mount", "--", "true"])
    for command in tries:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise CondorUnavailableError(f"{shlex.join(command)}: {done.stderr.strip()}")


def free_port() -> int:
    """Return a free port of the loopback address."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Machine:
    """A machine: its folder with configuration, logs and jobs, and its processes.

    Parameters
    ----------
    name : str
        As in the records of the batch system.
    folder : Path
        Its own.
    master : Path
        The program `condor_master`.
    """

    def __init__(self, name: str, folder: Path, master: Path) -> None:
        self.name = name
        self.folder = folder
        self.config = folder / "condor_config"
        self.started = 0.0
        self._program = master
        self._master: subprocess.Popen[bytes] | None = None

    def write(self, config: str, wrapper: str = "") -> None:
        """Write the folders, the configuration, and the script that starts jobs if there is one."""
        for name in ("log", "spool", "execute", "lock", "run"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "execute").chmod(0o1777)
        self.config.write_text(config)
        if wrapper:
            (self.folder / "job_wrapper").write_text(wrapper)
            (self.folder / "job_wrapper").chmod(0o755)

    def start(self) -> None:
        """Start the master, which starts the other daemons. Do not wait."""
        if self.running:
            return
        # setpriv: the pool ends with this process, however that ends
        command = [*entering(), "setpriv", "--pdeathsig", "QUIT", str(self._program), "-f"]
        env = {**os.environ, "CONDOR_CONFIG": str(self.config), MARK: str(self.folder)}
        self.started = time.time()
        with (self.folder / "log" / "master.out").open("ab") as log:
            self._master = subprocess.Popen(
                command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    @property
    def running(self) -> bool:
        """Whether its master runs."""
        return self._master is not None and self._master.poll() is None

    def ask_to_stop(self) -> None:
        """Ask the master for a fast shutdown: jobs are killed, daemons end."""
        if self._master is not None and self.running:
            self._master.send_signal(signal.SIGQUIT)

    def wait(self, deadline: float) -> None:
        """Wait until the master ended or `deadline`, a time of `time.monotonic`."""
        if self._master is not None:
            with suppress(subprocess.TimeoutExpired):
                self._master.wait(max(0.0, deadline - time.monotonic()))

    def crash(self) -> None:
        """Kill all its processes at once, like a power cut."""
        if self._master is not None and self.running:
            self._master.kill()  # first: it would start its daemons again
            self._master.wait()
        kill(self.folder)

    def stamp(self, name: str) -> int:
        """Return the modification time of a file in its folder, ns; 0 if there is no file."""
        file = self.folder / name
        return file.stat().st_mtime_ns if file.exists() else 0

    def fault(self) -> str:
        """Return the end of its log, for a message."""
        lines: list[str] = []
        for log in ("master.out", "MasterLog"):
            with suppress(FileNotFoundError):
                lines += (self.folder / "log" / log).read_text(errors="replace").splitlines()[-8:]
        return "\n".join(lines)

    def check(self) -> None:
        """Raise `CondorUnavailableError` if the master has ended by itself."""
        if not self.running:
            raise CondorUnavailableError(
                f"{shlex.join(entering())} condor_master on {self.name} ended:\n{self.fault()}"
            )


def processes(folder: Path, program: str = "") -> list[int]:
    """Return the daemons, commands and jobs of the machines in `folder`, by their environment.

    Parameters
    ----------
    folder : Path
        Of a pool or of one of its machines.
    program : str
        Only those whose command line begins with a program of this name.
    """
    # daemons and commands have MARK, jobs the name of their scratch folder
    marks = tuple(f"{name}={folder}{end}".encode() for name in (MARK, "_CONDOR_SCRATCH_DIR") for end in ("/", "\0"))
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended meanwhile, or is another user's
            variables = (process / "environ").read_bytes().split(b"\0")
            if not any((variable + b"\0").startswith(marks) for variable in variables):
                continue
            first = (process / "cmdline").read_bytes().split(b"\0")[0].decode(errors="replace")
            if not program or Path(first).name == program:
                found.append(int(process.name))
    return [pid for pid in found if pid != os.getpid()]


def kill(folder: Path, program: str = "", *, timeout: float = 10.0) -> None:
    """Kill the processes that `processes` finds until there are none; at most `timeout` s."""
    deadline = time.monotonic() + timeout
    while found := processes(folder, program):
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if program:
            return  # its master may start it again
        if time.monotonic() > deadline:
            raise RuntimeError(f"processes {found} of {folder} do not end")
        time.sleep(0.02)
