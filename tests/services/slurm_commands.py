"""Wrapper scripts of Slurm commands: they count calls, and can fail or hang. Otherwise they run the real command.

A folder of small scripts stands first on PATH. Each notes its call and becomes the real program.
"""

from __future__ import annotations

import os
import shlex
import shutil
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

SCRIPT = """\
#!/bin/sh
# {name}, counted; it fails or hangs while {fault} says so
printf '%s %s %s\\0' "$(date +%s.%N)" "${{SLURM_JOB_ID:--}}" "{name} $*" >>{log}
real={real}
if [ -e {fault} ]; then . {fault}; fi
exec "$real" "$@"
"""

# Only calls that name it, in an argument or in a file among the arguments (a submit script).
MATCHING = """\
match=no
for arg; do
    if [ -f "$arg" ] && grep -Eq -e {pattern} "$arg"; then match=yes; fi
done
if printf '%s\\n' "$*" | grep -Eq -e {pattern}; then match=yes; fi
if [ $match = no ]; then exec "$real" "$@"; fi
"""


@dataclass(frozen=True)
class Call:
    """One call of a scheduler command.

    Parameters
    ----------
    time : float
        Seconds since the epoch.
    job : str
        The job that made it; ``-`` for calls from outside of all jobs.
    command : str
        Its name.
    args : str
        Its arguments, separated by blanks.
    """

    time: float
    job: str
    command: str
    args: str


class Commands:
    """A folder with wrapper scripts of the real commands.

    Parameters
    ----------
    folder : Path
        Where the scripts, their log and the faults are kept; made if needed.
    names : sequence of str
        The commands; those that are not on `path` are left out.
    path : str
        Where the real ones are searched; PATH by default.
    """

    def __init__(self, folder: Path, names: tuple[str, ...], path: str | None = None) -> None:
        self.bin = folder / "bin"
        self._faults = folder / "faults"
        self._log = folder / "calls"
        self._fifo = folder / "never"
        self.bin.mkdir(parents=True)
        self._faults.mkdir()
        self._log.touch()
        for made in (self._log, folder):
            made.chmod(0o755 if made.is_dir() else 0o666)
        os.mkfifo(self._fifo, 0o666)
        for name in names:
            if real := shutil.which(name, path=path):
                self._write(name, real)

    def _write(self, name: str, real: str) -> None:
        script = self.bin / name
        quoted = {"log": self._log, "fault": self._faults / name, "real": real}
        script.write_text(SCRIPT.format(name=name, **{key: shlex.quote(str(value)) for key, value in quoted.items()}))
        script.chmod(0o755)

    def forget(self) -> None:
        """Count from zero."""
        os.truncate(self._log, 0)

    def calls(self, since: float = 0.0) -> list[Call]:
        """Return the calls since a time (seconds since the epoch), oldest first."""
        found = []
        for entry in self._log.read_text(errors="replace").split("\0")[:-1]:
            when, job, command, *args = entry.split(" ", 3)
            found.append(Call(float(when), job, command, *(args or [""])))
        return [call for call in found if call.time >= since]

    def counts(self, since: float = 0.0, *, in_jobs: bool = False) -> Counter[str]:
        """Return the number of calls of each command. Calls from inside of jobs (``srun``) count only on request."""
        return Counter(call.command for call in self.calls(since) if in_jobs or call.job == "-")

    def fail(self, name: str, *, code: int, stderr: str, matching: str = "", after_doing: bool = False) -> None:
        """Make a command fail, if `matching` (an extended regular expression) is in its arguments or their files."""
        doing = '"$real" "$@" >/dev/null 2>&1\n' if after_doing else ""
        said = f"printf '%s\\n' {shlex.quote(stderr)} >&2\n" if stderr else ""
        self._break(name, matching, f"{doing}{said}exit {code}\n")

    def hang(self, name: str, seconds: float, *, matching: str = "") -> None:
        """Delay a command by `seconds`."""
        # One process that waits for a pipe without a writer, so that killing the command leaves nothing.
        wait = f'read -r -t {seconds} <>{shlex.quote(str(self._fifo))}; exec "$@"'
        self._break(name, matching, f'exec bash -c {shlex.quote(wait)} hang "$real" "$@"\n')

    def _break(self, name: str, matching: str, action: str) -> None:
        if not (self.bin / name).exists():
            raise ValueError(f"{name} is not one of {sorted(script.name for script in self.bin.iterdir())}")
        new = self._faults / f".{name}.{time.monotonic_ns()}"
        new.write_text((MATCHING.format(pattern=shlex.quote(matching)) if matching else "") + action)
        new.replace(self._faults / name)  # a command reads the whole file or none

    def repair(self, *names: str) -> None:
        """Undo the faults of the named commands, or of all."""
        for fault in self._faults.iterdir():
            if not names or fault.name in names:
                fault.unlink(missing_ok=True)
