"""Wrapper scripts of HTCondor commands, for the PATH of tests: they count calls, and can fail or hang."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

# Plain sh without other programs: a command takes a few ms longer than without.
_WRAPPER = Template("""\
#!/bin/sh
export $settings
read -r now _ </proc/uptime
printf '%s %s %s\\n' "$$now" $name "$$*" >>$calls
[ ! -e $fault ] || . $fault
exec $command "$$@"
""")


@dataclass(frozen=True)
class Call:
    """One call of a command.

    Parameters
    ----------
    time : float
        s since the machine started, as in ``/proc/uptime``.
    command, arguments : str
        What was called; the arguments are joined by spaces.
    """

    time: float
    command: str
    arguments: str


class Commands:
    """Wrapper scripts of the real commands.

    Parameters
    ----------
    folder : Path
        Where they and their records lie; ``bin`` in it belongs first in PATH.
    """

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self._faults = folder / "faults"
        self._calls = folder / "calls"

    def write(self, programs: Sequence[Path], enter: Sequence[str], settings: Mapping[str, str]) -> None:
        """Write a script for each of `programs`, run through the command `enter` with the variables `settings`."""
        self.bin.mkdir(parents=True, exist_ok=True)
        self._faults.mkdir(exist_ok=True)
        self._calls.touch()
        for program in programs:
            script = self.bin / program.name
            script.write_text(
                _WRAPPER.substitute(
                    settings=" ".join(f"{name}={shlex.quote(value)}" for name, value in settings.items()),
                    name=program.name,
                    calls=shlex.quote(str(self._calls)),
                    fault=shlex.quote(str(self._faults / program.name)),
                    command=shlex.join([*enter, str(program)]),
                )
            )
            script.chmod(0o755)

    def fail(self, command: str, code: int, stderr: str) -> None:
        """Make `command` write `stderr` and exit with `code`, without its work."""
        self._fault(command, f"printf '%s\\n' {shlex.quote(stderr)} >&2\nexit {code}\n")

    def hang(self, command: str, seconds: float) -> None:
        """Delay `command` by `seconds`."""
        self._fault(command, f"sleep {seconds}\n")

    def swallow(self, command: str, seconds: float) -> None:
        """Make `command` do its work, and then end `seconds` late: a caller with a shorter time limit gets no answer."""
        path = shlex.quote(str(self._faults / command))
        self._fault(command, f'rm -f {path}\n"$0" "$@"\nsleep {seconds}\nexit 0\n')

    def _fault(self, command: str, text: str) -> None:
        if not (self.bin / command).exists():
            raise ValueError(f"{command} is not a command of this pool")
        new = self.bin.parent / f"{command}.new"
        new.write_text(text)
        new.rename(self._faults / command)  # a command that starts now reads the whole file or none

    def repair(self) -> None:
        """Undo all faults."""
        for fault in self._faults.iterdir():
            fault.unlink()

    def calls(self) -> list[Call]:
        """Return the calls so far, oldest first."""
        parts = (line.split(" ", 2) for line in self._calls.read_text().splitlines())
        return [Call(float(time), command, arguments) for time, command, arguments in parts]

    def counts(self) -> Counter[str]:
        """Return the number of calls of each command."""
        return Counter(call.command for call in self.calls())

    def forget(self) -> None:
        """Forget the calls so far."""
        self._calls.write_text("")
