"""Files that stages write outside of the run directory: never overwrite or mix them with files of another run.

A hidden file in the folder names the run that its files belong to.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from fasthep_parsl.atomic import write_text
from fasthep_parsl.driver.run_directory import Mode
from fasthep_parsl.errors import Advice, ConfigError, Hint, Problem, RunError
from fasthep_parsl.ops.targets import OutputTarget, files_of, partitions_of, targets_of
from fasthep_parsl.plan import Plan


def check_targets(plan: Plan, run_dir: Path, mode: Mode) -> None:
    """Check that no other files are where a run writes. Change nothing.

    Raises
    ------
    ConfigError
        Files of another run are where stages write, and ``--force`` was not given; or another run writes there.
    """
    for target, folder in _folders(plan):
        _check_writable(target, folder, plan)
        owner = _owner(target, folder)
        other = owner if owner and owner != _absolute(run_dir) else None
        if other and other.is_dir() and not (other / "run.json").exists():
            raise _refuse(
                target, f"the run in {other} also writes to {folder}", "wait for its end, or give another `path`"
            )
        mine = set() if mode == "new" or other else _files(plan, folder)
        foreign = [name for name in _present(target.pattern(), folder) if name not in mine and name[0] != "."]
        if mode == "force":
            foreign = [name for name in foreign if not any(own.fullmatch(name) for own in _own(plan, folder))]
        if foreign:
            hint = "remove them, or" if mode == "force" else "{force} removes files of the same datasets;"
            number = "1 file" if len(foreign) == 1 else f"{len(foreign)} files"
            whose = f", written by {other or owner}" if owner else ""
            what = f"{folder} contains {number} like those of stage `{target.stage}`: `{foreign[0]}`{whose}"
            raise _refuse(target, what, Advice(f"{hint} give another `path`"))


def _check_writable(target: OutputTarget, folder: Path, plan: Plan) -> None:
    """Refuse a folder that cannot be made or written, unless workers have file systems that this machine does not have."""
    if not all(pool.shared for pool in plan.pools):
        return
    known = next(place for place in (folder, *folder.parents) if os.path.exists(place))  # noqa: PTH110  (False without an exception if a folder may not be entered)
    if not known.is_dir():
        raise _refuse(target, f"{known} is a file, not a folder", "give another `path`")
    if not os.access(known, os.W_OK | os.X_OK):
        raise _refuse(target, f"{known} cannot be written to: permission denied", "give another `path`")


def take_targets(plan: Plan, run_dir: Path, mode: Mode) -> None:
    """Make folders for a run, and remove files of other runs with ``--force``.

    Raises
    ------
    ConfigError
        A folder cannot be written.
    """
    for target, folder in _folders(plan):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for own in _own(plan, folder) if mode == "force" else ():
                for name in _present(own, folder):
                    (folder / name).unlink()
            write_text(_mark(target, folder), json.dumps({"run": str(_absolute(run_dir))}) + "\n")
        except OSError as error:
            if not all(pool.shared for pool in plan.pools):
                continue  # only workers need it
            raise _refuse(target, f"{folder} cannot be written: {error.strerror}", "give another `path`") from None


def settle_targets(plan: Plan, run_dir: Path, ended: Iterable[str], products: Mapping[tuple[str, str], Any]) -> None:
    """Remove files that no manifest lists: of partitions that failed later, and drafts of killed workers.

    Parameters
    ----------
    plan : Plan
        The plan.
    run_dir : Path
        The run directory.
    ended : iterable of str
        Stages that are complete.
    products : mapping
        (stage, product) → product.

    Raises
    ------
    RunError
        A file is missing or was changed.
    """
    ended = set(ended)
    for target in targets_of(plan):
        if target.stage not in ended:
            continue
        results = run_dir / "results" / target.stage
        manifest = products.get((target.stage, "manifest"))
        listed = {} if manifest is None else {results / file.path: file.bytes for file in manifest.files}
        for dataset in plan.datasets:
            folder = target.folder(dataset.name, results)
            for name in _present(target.pattern([dataset.name]), folder):
                if folder / name not in listed:
                    (folder / name).unlink(missing_ok=True)
        for path, size in listed.items():
            if path.parent.is_dir() and not (path.is_file() and path.stat().st_size == size):
                raise RunError(f"{path} was changed or removed while stage `{target.stage}` ran")


def _folders(plan: Plan) -> Iterator[tuple[OutputTarget, Path]]:
    """Yield targets with each of their folders outside of the run directory."""
    for target in targets_of(plan):
        if target.path:
            yield from ((target, folder) for folder in dict.fromkeys(_folder(target, d.name) for d in plan.datasets))


def _folder(target: OutputTarget, dataset: str) -> Path:
    return target.folder(dataset, Path())


def _within(plan: Plan, folder: Path) -> Iterator[tuple[OutputTarget, str, range]]:
    """Yield the targets and datasets whose files are written to `folder`."""
    for target in targets_of(plan):
        for dataset, numbers in partitions_of(plan) if target.path else ():
            if _folder(target, dataset) == folder:
                yield target, dataset, numbers


def _files(plan: Plan, folder: Path) -> set[str]:
    """Return the names of all files that a plan writes to a folder."""
    return set().union(*(files_of(target, dataset, numbers) for target, dataset, numbers in _within(plan, folder)))


def _own(plan: Plan, folder: Path) -> list[re.Pattern[str]]:
    """Return patterns of all files that a plan may write to a folder, with any partitions."""
    return [target.pattern([dataset]) for target, dataset, _ in _within(plan, folder)]


def _present(pattern: re.Pattern[str], folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir() if pattern.fullmatch(path.name))
    except OSError:
        return []


def _mark(target: OutputTarget, folder: Path) -> Path:
    """Return the hidden file that names the run of the files in `folder`: one for each pattern of names."""
    return folder / f".fasthep-parsl-{sha256(target.pattern().pattern.encode()).hexdigest()[:8]}.json"


def _owner(target: OutputTarget, folder: Path) -> Path | None:
    try:
        return Path(json.loads(_mark(target, folder).read_text())["run"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()


def _refuse(target: OutputTarget, message: str, hint: Hint) -> ConfigError:
    return ConfigError(Problem("E167", message, key=f"stage {target.stage}, params.path", hint=hint))
