"""Files that travel with tasks, for workers that do not see the run directory.

A task goes out as a `TaskWithFiles`: its paths are relative to the run directory, and what it reads goes with it. What it writes
comes back with its result as a `ResultWithFiles`. The plan and the analysis code are not in it: blocks bring them, once.
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
from fasthep_parsl.worker.entry import run_task
from fasthep_parsl.worker.gpus import BLOCK_FOLDER

BROUGHT = ("plan.json", "code")
"""What a block brings of the run directory."""
WRITTEN = ("work", "results")
"""Where tasks write, below the run directory."""
LEVEL = 1
"""Of zlib: 90 MB/s, stored events shrink to a third; Parsl carries 20 MB/s, so that this is won three times over."""
LIMIT = 250_000_000
"""Most bytes that travel with one task, or come back with one result. Parsl holds them in memory, 5 times on the driver
and 3 times in its interchange, which does nothing else meanwhile."""


@dataclass(frozen=True, slots=True)
class TaskWithFiles:
    """A task and the files that it reads.

    Attributes
    ----------
    task : Task
        Its paths are relative to the run directory.
    files : mapping
        Relative path → content, compressed.
    """

    task: Task
    files: Mapping[str, bytes] = field(repr=False)


@dataclass(frozen=True, slots=True)
class ResultWithFiles:
    """The result of a task and the files that it wrote; paths as in `TaskWithFiles`."""

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
        There are too many; the scheduler gives the task's work out again in halves.
    """
    return _checked(sum(Path(path).stat().st_size for path in _inputs(task)), f"task {task.id} reads")


def pack(task: Task) -> TaskWithFiles:
    """Read the files that `task` reads.

    Raises
    ------
    OSError
        One cannot be read.
    """

    def relative(path: str) -> str:
        return str(Path(path).relative_to(task.run_dir))

    return TaskWithFiles(_task_moved(task, relative), {relative(path): _read(Path(path)) for path in _inputs(task)})


def unpack(delivery: ResultWithFiles, run_dir: str) -> TaskResult:
    """Write the files of a result to the run directory; return the result with paths there.

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
    """Run a task in a folder of this process, in which no file is left afterwards.

    Raises
    ------
    MemoryError
        The task has written too much.
    """
    root = _own_folder(os.getpid())
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
        }  # notes are of no use there
        new = {name: path for name, path in files.items() if name not in sent}
        _checked(sum(path.stat().st_size for path in new.values()), f"task {packed.task.id} wrote")
        back = _result_moved(result, lambda path: str(Path(path).relative_to(root)))
        return ResultWithFiles(back, {name: _read(path) for name, path in new.items()})
    finally:
        for path in list(_files(root)):  # folders stay: the next task needs them again
            path.unlink()


@lru_cache(maxsize=1)
def _own_folder(pid: int) -> Path:
    """Return a run directory for this process, with what its block has brought. The same for all tasks: programs are kept."""
    if not os.environ.get(BLOCK_FOLDER):
        raise FastHepError(f"this worker does not know the folder of its block: {BLOCK_FOLDER} is not set")
    block = Path(os.environ[BLOCK_FOLDER])
    root = block / "workers" / str(pid)
    shutil.rmtree(root, ignore_errors=True)  # of a worker that had the same number
    root.mkdir(parents=True)
    for name in BROUGHT:
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
        raise MemoryError(f"{what} {size:,} bytes; without a shared file system {LIMIT:,} can be carried: {hint}")
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
