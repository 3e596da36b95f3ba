"""What a worker does just now, in a small file that is there when the worker is not: a crash is not the fault of the input.

Two files per process, below ``work/now`` of the run directory: the task and the stage that it runs, and what Python says
(`faulthandler`) when compiled code crashes. To note a stage costs a microsecond.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import re
import shutil
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

TRAIL_FOLDER = Path("work", "now")
_LENGTH = 160
_files: dict[str, tuple[int, int, IO[str] | None]] = {}
"""Run directory → process, descriptor of its note, file for crashes."""
_now = {"task": -1}
_settings = {"crashes": False}


def watch_crashes() -> None:
    """Let crashes be written down from the next task on; for processes that run nothing but tasks."""
    _settings["crashes"] = True


def is_worker() -> bool:
    """Return whether this process runs nothing but tasks."""
    return _settings["crashes"]


def current_task() -> int:
    """Return the number of the task that runs, -1 if none does."""
    return _now["task"]


def begin(run_dir: str, task: int) -> None:
    """Note that this process begins a task."""
    known = _files.get(run_dir)
    if known is None or known[0] != os.getpid():
        _files.clear()
        try:
            _files[run_dir] = _opened(Path(run_dir))
        except OSError:  # a note is not worth a task
            return
    _now["task"] = task
    at("")


def at(stage: str) -> None:
    """Note which stage begins; empty for none."""
    for _, descriptor, _ in _files.values():
        with contextlib.suppress(OSError):  # a full disk: a note is not worth a task
            os.pwrite(descriptor, f"{_now['task']}\t{stage}\t".encode().ljust(_LENGTH), 0)


def end() -> None:
    """Note that this process has no task."""
    _now["task"] = -1
    at("")


def _opened(run_dir: Path) -> tuple[int, int, IO[str] | None]:
    folder = run_dir / TRAIL_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{socket.gethostname()}-{os.getpid()}"
    descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    crash = None
    if _settings["crashes"]:
        crash = (folder / f"{name}.crash").open("w", encoding="utf-8")
        faulthandler.enable(crash, all_threads=False)
    return os.getpid(), descriptor, crash


# --- the driver's side ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LastStep:
    """What the worker of a lost task did last.

    Attributes
    ----------
    stage : str
        Stage that it ran, empty if it read or merged.
    crash : str
        What ended it, as Python says it; empty if it was killed.
    where : str
        ``file:line`` of the user's code, empty if unknown.
    trace : str
        All that Python has written.
    """

    stage: str = ""
    crash: str = ""
    where: str = ""
    trace: str = ""

    def __str__(self) -> str:
        """Return it in words."""
        return f"{self.crash or 'it ended'} while stage `{self.stage}` ran" if self.stage else self.crash


NOTHING = LastStep()


def last_step(run_dir: Path, task: int, modules: Iterable[str]) -> LastStep:
    """Return what the worker of a task did last, as far as it is known here.

    Parameters
    ----------
    run_dir : Path
        The run directory.
    task : int
        Number of the task.
    modules : iterable of str
        Names of the user's files.
    """
    for path in _notes(run_dir):
        try:
            number, stage, *_ = path.read_bytes().decode(errors="replace").split("\t")
            if int(number) == task:
                crash = path.with_name(f"{path.name}.crash")
                trace = crash.read_text(errors="replace") if crash.exists() else ""
                return LastStep(stage, _crash(trace), _where(trace, set(modules)), trace)
        except (OSError, ValueError):
            continue
    return NOTHING


def _notes(run_dir: Path) -> list[Path]:
    try:
        return [path for path in (run_dir / TRAIL_FOLDER).iterdir() if path.suffix != ".crash"]
    except OSError:
        return []


def _crash(trace: str) -> str:
    found = re.search(r"^Fatal Python error: (.*)$", trace, re.MULTILINE)
    return found[1].strip() if found else ""


def _where(trace: str, modules: set[str]) -> str:
    """Return the innermost of the user's lines."""
    for file, line in re.findall(r'^  File "(.*)", line (\d+) in ', trace, re.MULTILINE):
        if Path(file).name in modules:
            return f"{Path(file).name}:{line}"
    return ""


def forget(run_dir: Path) -> None:
    """Remove all notes of a run."""
    shutil.rmtree(run_dir / TRAIL_FOLDER, ignore_errors=True)
