"""Input files on a worker: open with the source of the plan, keep open between tasks, read fields.

Opening a ROOT file takes 10–300 ms, depending on the number of branches. Reading a slice of an open file takes about
0.2 ms per column. Files that were used last therefore stay open across the tasks of a worker. Local files are mapped
into memory, which takes a fifth of the time of uproot's default source per slice.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fasthep_parsl import registry
from fasthep_parsl.interfaces import InputFileError, OpenInput, Source
from fasthep_parsl.ops.stream import Column
from fasthep_parsl.plan import PlanDefault, PlanFile, PlanSource
from fasthep_parsl.sources.columns import constant
from fasthep_parsl.storage import StorageLimits, limited

MAX_OPEN = 16
"""Number of files that a worker keeps open."""


def open_file(path: str, source: PlanSource) -> OpenInput:
    """Open an input file with the source that the plan names, and with those that are joined to it.

    Raises
    ------
    InputFileError
        The file is missing, damaged or of another kind, or software to read it is not installed.
    """
    if source.prefix:
        from fasthep_parsl.sources.joined_file import open_joined

        return open_joined(path, source, open_file)
    kind: type[Source] = registry.load("sources", source.kind)
    with limited(StorageLimits(source.storage.open_timeout, source.storage.read_timeout, source.storage.retries)):
        return kind(**source.params).open(path)


def read_fields(file: OpenInput, source: PlanSource, fields: Iterable[str], start: int, stop: int) -> dict[str, Column]:
    """Return events [start, stop) of `fields`. A field may be an alias of a branch, or have a default.

    A field whose branch is empty has its default in every file.

    Raises
    ------
    InputFileError
        The file is damaged, or a branch is missing and its field has no default.
    """
    branches = {field: source.aliases.get(field, field) for field in fields}
    missing = {field for field in branches if field in source.defaults and not _has(file, branches[field])}
    arrays = file.read(dict.fromkeys(b for field, b in branches.items() if field not in missing), start, stop)
    for branch, array in arrays.items():
        if len(array) != stop - start:
            message = f"branch `{branch}` has {len(array):,} values for the events {start:,}–{stop:,}"
            raise InputFileError(file.path, message, "is the file damaged?")
    return {
        field: _default(source.defaults[field], stop - start) if field in missing else arrays[branch]
        for field, branch in branches.items()
    }


def prefetch_fields(file: OpenInput, source: PlanSource, fields: Iterable[str], start: int, stop: int) -> None:
    """Begin to fetch what `read_fields` will read from a server, if the format can. Local files need none of it."""
    begin = getattr(file, "prefetch", None)
    if begin is not None:
        begin([branch for field in fields if _has(file, branch := source.aliases.get(field, field))], start, stop)


def _has(file: OpenInput, branch: str) -> bool:
    return bool(branch) and file.has(branch)


def _default(default: PlanDefault, length: int) -> Column:
    return constant(default.value, default.dtype, length)


def bytes_by_branch(
    file: OpenInput, source: PlanSource, fields: Iterable[str], start: int, stop: int
) -> dict[str, int]:
    """Return the compressed bytes that `read_fields` reads, by branch. Missing branches are left out."""
    branches = dict.fromkeys(source.aliases.get(field, field) for field in fields)
    return file.branch_bytes([branch for branch in branches if _has(file, branch)], start, stop)


class OpenFiles:
    """The open files of a worker. The least recently used one is closed first.

    Parameters
    ----------
    limit : int
        Number of files.

    Attributes
    ----------
    opened : int
        How often a file was opened.
    """

    def __init__(self, limit: int = MAX_OPEN) -> None:
        self._limit = limit
        self.opened = 0
        self._open: OrderedDict[tuple[Any, ...], OpenInput] = OrderedDict()

    def get(self, path: str, source: PlanSource, planned: PlanFile | None = None) -> OpenInput:
        """Return an open file. Open it if necessary.

        Parameters
        ----------
        path : str
            The file.
        source : PlanSource
            How it is read.
        planned : PlanFile, optional
            Its identity when the plan was made.

        Raises
        ------
        InputFileError
            It cannot be opened, or it changed after the plan was made.
        """
        wanted = (planned.size, planned.mtime_ns, planned.entries, planned.uuid) if planned else ()
        key = (path, source.identity, *wanted)
        file = self._open.get(key)
        if planned is not None:  # also if the file is open: it may have been written to
            _check_unchanged(path, planned.size, planned.mtime_ns)
        if file is None:
            file = open_file(path, source)
            self.opened += 1
            if planned is not None:
                _check_same(file, path, planned)
        self._open[key] = file
        self._open.move_to_end(key)
        if len(self._open) > self._limit:
            self._open.popitem(last=False)[1].close()
        return file

    def drop(self, path: str) -> None:
        """Close a file after an error, so that a retry opens it again."""
        for key in [key for key in self._open if key[0] == path]:
            self._open.pop(key).close()


def _check_unchanged(path: str, size: int, mtime_ns: int) -> None:
    """Refuse a file that changed after it was cut into partitions. Times may differ by 1 s: file systems round them."""
    if size < 0 or "://" in path:
        return
    try:
        stat = Path(path).stat()
    except OSError:
        return  # opening the file reports the reason
    if stat.st_size != size or abs(stat.st_mtime_ns - mtime_ns) > 1_000_000_000:
        raise InputFileError(path, "the file changed after the plan was made", "run again")


def _check_same(file: OpenInput, path: str, planned: PlanFile) -> None:
    """Refuse a file that was replaced by another one with equal size and time."""
    if file.entries != planned.entries:
        message = f"the file changed after the plan was made: it has {file.entries:,} events, not {planned.entries:,}"
    elif planned.uuid and file.uuid != planned.uuid:
        message = "the file was replaced after the plan was made: its identity (UUID) is different"
    else:
        return
    file.close()
    raise InputFileError(path, message, "run again", cause="corrupt")
