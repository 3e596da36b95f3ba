"""File transfer: send files with tasks and results, for workers that do not see the run directory.

A task is sent as a `TaskWithFiles`, with paths relative to the run directory and with the files that it reads. Its output
returns with the result as a `ResultWithFiles`. The plan and the analysis code are transferred once per block instead.
"""

from __future__ import annotations

import os
import shutil
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from fasthep_parsl.atomic import atomic
from fasthep_parsl.errors import FastHepError
from fasthep_parsl.tasks import Task, TaskResult
from fasthep_parsl.worker import trail
from fasthep_parsl.worker.credential_refresh import NO_SECRETS, TaskSecrets, install_secrets, read_secrets
from fasthep_parsl.worker.entry import run_task
from fasthep_parsl.worker.node_facts import BLOCK_FOLDER

TRANSFERRED = ("plan.json", "code")
"""Parts of the run directory that a block transfers."""
WRITTEN = ("work", "results")
"""Folders of the run directory to which tasks write."""
LEVEL = 1
"""Compression level of zlib: 90 MB/s, a third of the size for stored events. Parsl transfers 20 MB/s."""
LIMIT = 250_000_000
"""Most bytes of one task or one result. Parsl keeps them in memory, 5 times in the driver and 3 times in its interchange,
which does nothing else meanwhile."""


@dataclass(frozen=True, slots=True)
class TaskWithFiles:
    """A task with the files that it reads.

    Attributes
    ----------
    task : Task
        Its paths are relative to the run directory.
    files : mapping
        Relative path → content, compressed.
    secrets : TaskSecrets
        Credentials of the run, as they are when the task is sent.
    """

    task: Task
    files: Mapping[str, bytes] = field(repr=False)
    secrets: TaskSecrets = NO_SECRETS


@dataclass(frozen=True, slots=True)
class ResultWithFiles:
    """The result of a task with the files that it wrote; paths as in `TaskWithFiles`."""

    result: TaskResult
    files: Mapping[str, bytes] = field(repr=False)


# --- the driver's side ----------------------------------------------------------------------------------------


def size_of(task: Task) -> int:
    """Return the bytes of the files that `task` reads.

    Raises
    ------
    OSError
        One is missing.
    MemoryError
        There are too many. The scheduler then splits the task.
    """
    return _checked(sum(Path(path).stat().st_size for path in _inputs(task)), f"task {task.id} reads")


def pack(task: Task, secrets: Iterable[str] = ()) -> TaskWithFiles:
    """Read the files that `task` reads, and the secrets with the names `secrets`.

    Raises
    ------
    OSError
        One cannot be read.
    """

    def relative(path: str) -> str:
        return str(Path(path).relative_to(task.run_dir))

    files = {relative(path): _read(Path(path)) for path in _inputs(task)}
    return TaskWithFiles(_task_moved(task, relative), files, read_secrets(Path(task.run_dir), secrets))


def unpack(delivery: ResultWithFiles, run_dir: str) -> TaskResult:
    """Write the files of a result to the run directory. Return the result with absolute paths.

    Raises
    ------
    OSError
        They cannot be written.
    """
    for name, content in delivery.files.items():
        with atomic(Path(run_dir, name)) as draft:
            draft.write_bytes(zlib.decompress(content))
    return _result_moved(delivery.result, lambda path: str(Path(run_dir, path)))


# --- the worker's side ----------------------------------------------------------------------------------------


def run_with_files(packed: TaskWithFiles) -> ResultWithFiles:
    """Run a task in a folder of this process, and remove its files afterwards.

    Raises
    ------
    MemoryError
        The output of the task is too large.
    """
    root = _own_folder(os.getpid())
    install_secrets(packed.secrets)
    try:
        for name, content in packed.files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(zlib.decompress(content))
        result = run_task(_task_moved(packed.task, lambda path: str(root / path)))
        files = {str(path.relative_to(root)): path for path in _files(root)}
        sent = {
            *packed.files,
            *(name for name in files if Path(name).parent == trail.TRAIL_FOLDER),
        }  # the driver does not use the trail
        new = {name: path for name, path in files.items() if name not in sent}
        _checked(sum(path.stat().st_size for path in new.values()), f"task {packed.task.id} wrote")
        back = _result_moved(result, lambda path: str(Path(path).relative_to(root)))
        return ResultWithFiles(back, {name: _read(path) for name, path in new.items()})
    finally:
        for path in list(_files(root)):  # the next task uses the same folders
            path.unlink()


@lru_cache(maxsize=1)
def _own_folder(pid: int) -> Path:
    """Return a run directory for this process, with the files of its block. All tasks use it, so that programs are cached."""
    if not os.environ.get(BLOCK_FOLDER):
        raise FastHepError(f"{BLOCK_FOLDER}, the folder of the block, is not set on this worker")
    block = Path(os.environ[BLOCK_FOLDER])
    root = block / "workers" / str(pid)
    shutil.rmtree(root, ignore_errors=True)  # of an earlier worker with the same process id
    root.mkdir(parents=True)
    for name in TRANSFERRED:
        if (block / name).exists():
            (root / name).symlink_to(block / name)
    return root


def _files(root: Path) -> Iterable[Path]:
    for written in WRITTEN:
        for folder, _, names in os.walk(root / written):
            yield from (Path(folder, name) for name in sorted(names))


# --- both -----------------------------------------------------------------------------------------------------


def _inputs(task: Task) -> list[str]:
    return list(dict.fromkeys([*(ref.path for ref in task.refs), *task.partials, *task.products.values()]))


def _read(path: Path) -> bytes:
    return zlib.compress(path.read_bytes(), LEVEL)


def _checked(size: int, what: str) -> int:
    if size > LIMIT:
        hint = "use smaller partitions (`chunk_size`), or a site with a shared file system"
        raise MemoryError(f"{what} {size:,} bytes; without a shared file system the limit is {LIMIT:,}: {hint}")
    return size


def _task_moved(task: Task, move: Callable[[str], str]) -> Task:
    return replace(
        task,
        plan=(move(task.plan[0]), task.plan[1]),
        run_dir=move(task.run_dir),
        refs=_refs_moved(task.refs, move),
        partials=tuple(map(move, task.partials)),
        products={stage: move(path) for stage, path in task.products.items()},
    )


def _result_moved(result: TaskResult, move: Callable[[str], str]) -> TaskResult:
    return replace(
        result,
        partial=result.partial and move(result.partial),
        refs={stage: _refs_moved(refs, move) for stage, refs in result.refs.items()},
    )


def _refs_moved(refs: Iterable[Any], move: Callable[[str], str]) -> tuple[Any, ...]:
    return tuple(replace(ref, path=move(ref.path)) for ref in refs)
