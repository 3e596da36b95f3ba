"""Prepare a run directory: make, refuse, replace or resume it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from fasthep_parsl import registry
from fasthep_parsl.atomic import open_drafts, write_text
from fasthep_parsl.driver.code_copies import copy_code
from fasthep_parsl.driver.lock import DriverLock
from fasthep_parsl.driver.lock_files import is_lock
from fasthep_parsl.driver.parameter_files import copy_parameter_files
from fasthep_parsl.errors import Advice, ConfigError, Hint, Problem
from fasthep_parsl.jsontext import json_text
from fasthep_parsl.names import harmful
from fasthep_parsl.plan import Plan
from fasthep_parsl.plan.parameter_files import without_paths
from fasthep_parsl.room import Reserve
from fasthep_parsl.setup_folder import FILES, SECRETS

Mode = Literal["new", "force", "resume"]
MARKER = "plan.json"
RESERVE = 256 * 1024
"""Bytes that a run reserves for its summary, in case the disk becomes full."""
OURS = (
    "plan.json",
    "events.jsonl",
    "run.json",
    "report.html",
    "missing.json",
    "log",
    "results",
    "plots",
    "work",
    "code",
    FILES,
    SECRETS,
)
"""Files and folders that ``--force`` removes, with the folders of modifiers. Others belong to the user and are kept."""


@dataclass(frozen=True)
class RunDirectory:
    """A prepared run directory.

    Attributes
    ----------
    path : Path
        Absolute path.
    resumed : bool
        Whether it contains the beginning of the same run.
    lock : DriverLock or None
        Excludes other drivers.
    reserve : Reserve, optional
        Disk space for the summary, released at the end of the run.
    """

    path: Path
    resumed: bool = False
    lock: DriverLock | None = None
    reserve: Reserve | None = field(default=None, compare=False)

    def release(self) -> None:
        """Release the disk space that is reserved for the summary."""
        if self.reserve is not None:
            self.reserve.release()

    def write_json(self, name: str, content: Any) -> Path:
        """Write a JSON file atomically."""
        return write_text(self.path / name, json_text(content, indent=1, default=str) + "\n")


@contextmanager
def taken(path: Path, plan: Plan, mode: Mode) -> Iterator[RunDirectory]:
    """Lock the run directory, prepare it, and yield it; release the lock at the end.

    Raises
    ------
    ConfigError
        Another process uses it; or see `prepare`.
    """
    path = path.expanduser().absolute()
    if path.exists() and not path.is_dir():
        raise _refuse("E160", f"{path} is a file, not a folder", Advice("give another {outdir}"))
    made = not path.exists()
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = DriverLock(path)
    except OSError as error:
        raise _refuse("E161", f"{path} cannot be written: {error.strerror}", Advice("give another {outdir}")) from None
    prepared = False
    try:
        with lock:
            directory = replace(prepare(path, plan, mode), lock=lock)
            prepared = True
            try:
                yield directory
            finally:
                directory.release()
    finally:
        if made and not prepared:
            with suppress(OSError, ConfigError):
                _remove(path)
                path.rmdir()


def prepare(path: Path, plan: Plan, mode: Mode) -> RunDirectory:
    """Make the run directory and write the plan and the analysis code to it.

    Raises
    ------
    ConfigError
        It exists and neither ``--force`` nor ``--resume`` was given; it cannot be written; or it has another plan.
    """
    path = path.expanduser().absolute()
    resumed = False
    if harmful(str(path)):
        message = f"{ascii(str(path))[1:-1]} has a control character or is not UTF-8, so scripts cannot contain it"
        raise _refuse("E161", message, Advice("give another {outdir}"))
    if path.exists() and not path.is_dir():
        raise _refuse("E160", f"{path} is a file, not a folder", Advice("give another {outdir}"))
    _check_apart(path, plan)
    if path.is_dir() and not all(map(is_lock, path.iterdir())):
        resumed = _existing(path, plan, mode)
    try:
        open_drafts(path)
        (path / "log").mkdir(parents=True, exist_ok=True)
        (path / "code").mkdir(exist_ok=True)
        copy_code(plan, path / "code")
        copy_parameter_files(plan, path / "code")
        write_text(path / MARKER, plan.model_dump_json(indent=1) + "\n")
        reserve = Reserve(path / "log" / "reserve", RESERVE)
    except OSError as error:
        raise _refuse("E161", f"{path} cannot be written: {error.strerror}", Advice("give another {outdir}")) from None
    return RunDirectory(path, resumed, reserve=reserve)


def _check_apart(path: Path, plan: Plan) -> None:
    """Refuse to read files from the run directory, where the run writes and ``--force`` removes."""
    real = path.resolve()
    for file in plan.parameter_files:
        place = Path(file.path).resolve()
        if place.is_relative_to(real) or (file.folder and real.is_relative_to(place)):
            message = f"`{file.uses[0]}` names {file.path}, and the run would write to {real}"
            raise _refuse("E160", message, Advice("give another {outdir}, or copy the file to another folder"))


def _existing(path: Path, plan: Plan, mode: Mode) -> bool:
    """Refuse, resume or remove the run in a folder; return whether it is resumed."""
    if mode == "new":
        if not (path / MARKER).exists():
            raise _refuse("E160", f"{path} is not empty and is not a run directory", Advice("give another {outdir}"))
        what = "already contains a run"
        raise _refuse(
            "E160", f"{path} {what}", Advice("{resume} continues it, {force} replaces it, or give another {outdir}")
        )
    if mode == "resume" and (path / MARKER).exists():
        try:
            before = Plan.model_validate_json((path / MARKER).read_bytes())
        except ValidationError:
            raise _refuse(
                "E162", f"{path / MARKER} cannot be read by this version", Advice("{force} starts again")
            ) from None
        if before.hash != plan.hash:
            hint = Advice("{force} starts again, or give another {outdir}")
            raise _refuse("E162", f"{path} contains another run: {_difference(before, plan)}", hint)
        return True
    if mode == "resume":
        raise _refuse("E160", f"{path} does not contain a run to resume", Advice("omit {resume}, or give its {outdir}"))
    if not (path / MARKER).exists():
        raise _refuse(
            "E160",
            f"{path} is not empty and is not a run directory",
            Advice("{force} replaces only runs: give another {outdir}"),
        )
    _remove(path)
    return False


def _remove(path: Path) -> None:
    for name in (*OURS, *registry.names("modifiers")):
        item = path / name
        try:
            if item.is_dir() and not item.is_symlink():
                shutil.rmtree(item)
            else:
                item.unlink(missing_ok=True)
        except OSError as error:
            raise _refuse(
                "E161", f"{item} cannot be removed: {error.strerror}", Advice("give another {outdir}")
            ) from None


def _difference(before: Plan, now: Plan) -> str:
    """Return a short description of how two plans differ."""
    names = ("stages", "datasets", "segments", "source", "chunk_size", "pass_size", "name")
    if before.limit != now.limit:  # then all else may differ because of it
        limits = [f"the {plan.extent}" if plan.extent else "all events" for plan in (before, now)]
        again = "without a limit" if before.limit is None else f"with the limit {before.limit}"
        return f"it processes {limits[0]}, and this would process {limits[1]}: resume it {again}"
    changed = [*_edited(before, now), *_versions(before, now)]
    code = {"op_hash"} if changed else set()
    for name in names:
        old, new = getattr(before, name), getattr(now, name)
        if name == "stages":
            plain = (without_paths(plan.stages, plan.parameter_files) for plan in (before, now))
            old, new = ([stage.model_dump(exclude=code) for stage in stages] for stages in plain)
        if old != new:
            changed.append(name.replace("_", " "))
    more = f" and {len(changed) - 4} more" if len(changed) > 4 else ""
    return ", ".join(changed[:4]) + f"{more} changed" if changed else "its plan is different"


def _edited(before: Plan, now: Plan) -> list[str]:
    """Return the files of analysis code and data that have changed."""

    def files(plan: Plan) -> dict[str, str]:
        used = {file.path or file.name: file.sha256 for file in (*plan.code, *plan.files)}
        named = {f"{use}/{file.name}": file.sha256 for file in plan.parameter_files for use in file.uses}
        return used | named

    old, new = files(before), files(now)
    changed = [Path(name).name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]
    return list(dict.fromkeys(changed))


def _versions(before: Plan, now: Plan) -> list[str]:
    """Return the packages whose versions have changed."""
    old, new = before.software, now.software
    return [
        f"{name} ({old.get(name, 'none')} → {new.get(name, 'none')})"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]


def _refuse(code: str, message: str, hint: Hint) -> ConfigError:
    return ConfigError(Problem(code, message, hint=hint))
