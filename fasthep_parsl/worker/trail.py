"""Current task and stage of each worker, in a small file that remains if the worker crashes.

A process has two files in ``work/now`` of the run directory: its task and stage, and the traceback that `faulthandler`
writes if compiled code crashes. Recording a stage takes a microsecond.
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
"""Run directory → process, file descriptor of the current stage, file for crashes."""
_now = {"task": -1}
_settings = {"crashes": False}


def watch_crashes() -> None:
    """Record crashes from the next task on. Only for processes that run nothing but tasks."""
    _settings["crashes"] = True


def is_worker() -> bool:
    """Return whether this process runs nothing but tasks."""
    return _settings["crashes"]


def current_task() -> int:
    """Return the number of the current task, -1 if there is none."""
    return _now["task"]


def begin(run_dir: str, task: int) -> None:
    """Record that this process begins a task."""
    known = _files.get(run_dir)
    if known is None or known[0] != os.getpid():
        _files.clear()
        try:
            _files[run_dir] = _opened(Path(run_dir))
        except OSError:  # continue without the record
            return
    _now["task"] = task
    at("")


def at(stage: str) -> None:
    """Record the current stage, empty for none."""
    for _, descriptor, _ in _files.values():
        with contextlib.suppress(OSError):  # full disk: continue without the record
            os.pwrite(descriptor, f"{_now['task']}\t{stage}\t".encode().ljust(_LENGTH), 0)


def end() -> None:
    """Record that this process has no task."""
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
    """Last activity of the worker of a lost task.

    Attributes
    ----------
    stage : str
        Its stage, empty if it was reading or merging.
    crash : str
        The fatal error that Python reports; empty if the worker was killed.
    where : str
        ``file:line`` of the user's code, empty if unknown.
    trace : str
        The whole output of `faulthandler`.
    """

    stage: str = ""
    crash: str = ""
    where: str = ""
    trace: str = ""

    def __str__(self) -> str:
        """Return a message."""
        return f"{self.crash or 'it ended'} while stage `{self.stage}` ran" if self.stage else self.crash


NOTHING = LastStep()


def last_step(run_dir: Path, task: int, modules: Iterable[str]) -> LastStep:
    """Return the last activity of the worker of a task, as far as it is recorded.

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
    """Return the innermost line of the user's code."""
    for file, line in re.findall(r'^  File "(.*)", line (\d+) in ', trace, re.MULTILINE):
        if Path(file).name in modules:
            return f"{Path(file).name}:{line}"
    return ""


def forget(run_dir: Path) -> None:
    """Remove all records of a run."""
    shutil.rmtree(run_dir / TRAIL_FOLDER, ignore_errors=True)
