"""Several trees as one input file: the events of the primary one, with the columns of all.

The other sources are in the same file or in files beside it. Their entries belong to events by position, or by keys.
Each event of the primary source occurs once, in its order, so partitions are those of the primary source.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np

from fasthep_parsl.errors import suggest
from fasthep_parsl.interfaces import TEXT, Branch, Branches, InputFileError, OpenInput
from fasthep_parsl.ops.stream import Column
from fasthep_parsl.plan import PlanJoin, PlanSource
from fasthep_parsl.sources.columns import tidy
from fasthep_parsl.sources.joined_names import JoinedNames, JoinedPart
from fasthep_parsl.sources.joined_rows import gathered
from fasthep_parsl.sources.key_index import KeyIndex, KeyIndices, KeyMatchError, as_keys, not_a_key, shown

KEYS = "use integers, such as run, luminosityBlock and event"

_INDICES = KeyIndices()

Opener = Callable[[str, PlanSource], OpenInput]
"""Opens a file with a source that joins nothing."""


def open_joined(path: str, source: PlanSource, opener: Opener) -> OpenInput:
    """Open a file with all of its sources.

    Parameters
    ----------
    path : str
        The file of the primary source.
    source : PlanSource
        How it is read, and what is joined to it.
    opener : callable
        Opens a file with one source.

    Raises
    ------
    InputFileError
        One of the files or trees cannot be used, has another number of entries, or lacks a key.
    """
    parts: list[JoinedPart] = []
    try:
        plain = source.model_copy(update={"joins": (), "prefix": ""})
        parts.append(JoinedPart(source.name, source.prefix, opener(path, plain)))
        for join in source.joins:
            alone = PlanSource(name=join.name, kind=join.kind, params=join.params, storage=source.storage)
            parts.append(JoinedPart(join.name, join.prefix, _opened(path, join, alone, opener), join.by))
            _check(path, parts[0], parts[-1])
        return JoinedFile(path, parts, source.joins)
    except Exception:
        for part in parts:
            part.file.close()
        raise


def _opened(path: str, join: PlanJoin, alone: PlanSource, opener: Opener) -> OpenInput:
    place = join.path_beside(path)
    try:
        return opener(place, alone)
    except InputFileError as error:
        raise _of_source(error, path, join.name, place) from error


def _of_source(error: InputFileError, path: str, name: str, place: str) -> InputFileError:
    """Return an error of a joined source as one of the file that it belongs to."""
    where = f"source `{name}`" if place == path else f"source `{name}`, {place}"
    key = f"{name}.{error.key}" if error.key else ""
    return InputFileError(path, f"{where}: {error.message}", error.hint, key, error.cause)


def _check(path: str, primary: JoinedPart, part: JoinedPart) -> None:
    """Refuse a source that does not fit the primary one, as far as headers tell."""
    mine, theirs = primary.file, part.file
    where = "" if theirs.path == path else f" in {theirs.path}"
    if not part.by and mine.entries != theirs.entries:
        message = (
            f"source `{part.name}` has {theirs.entries:,} entries{where}, `{primary.name}` has {mine.entries:,},"
            " and they are joined one by one"
        )
        hint = "are they of the same events? If they have keys, write `by: [run, luminosityBlock, event]` in `joins`"
        raise InputFileError(path, message, hint)
    for key, own in part.by.items():
        for side, branch in ((primary, key), (part, own)):
            if not side.file.has(branch):
                message = f"source `{side.name}` has no branch `{branch}`, a key of the join with `{part.name}`"
                known = side.file.branches().found
                raise InputFileError(path, message, suggest(branch, known, what="branches"), f"{part.name}.by")


class JoinedFile:
    """Several sources, open.

    Parameters
    ----------
    path : str
        The file of the primary source.
    parts : sequence of JoinedPart
        The primary source and the others.
    joins : sequence of PlanJoin
        How the others are joined.
    """

    def __init__(self, path: str, parts: Sequence[JoinedPart], joins: Sequence[PlanJoin]) -> None:
        self.path = path
        self._parts = parts
        self._joins = joins
        self._names = JoinedNames(path, parts)
        primary = parts[0].file
        self.entries = primary.entries
        self.section = primary.section
        self.uuid = _uuid([part.file for part in parts])
        self._last: dict[int, tuple[tuple[int, int], Any]] = {}

    @property
    def directory(self) -> Any:
        """The open ROOT file of the primary source; no attribute if it is of another format."""
        primary: Any = self._parts[0].file
        return primary.directory

    def clusters(self) -> list[int]:
        """Return the event numbers at which clusters of the primary source begin."""
        return self._parts[0].file.clusters()

    def branches(self) -> Branches:
        """Return the branches of all sources. A key that is not an integer is refused."""
        every = [part.file.branches() for part in self._parts]
        for number, part in enumerate(self._parts[1:], 1):
            for key, own in part.by.items():
                for side, name in ((0, key), (number, own)):
                    branch = every[side].found.get(every[side].name_of(name))
                    if branch is not None and not _can_be_key(branch):
                        message = f"source `{self._parts[side].name}`: {not_a_key(name)}"
                        raise InputFileError(self.path, message, KEYS, f"{part.name}.by")
        return self._names.branches(every)

    def has(self, column: str) -> bool:
        """Return whether one of the sources has a branch."""
        return bool(self._names.owners(column))

    def _shared_out(self, columns: Iterable[str]) -> dict[int, dict[str, str]]:
        """Return number of the source → column → name of the branch there."""
        found: dict[int, dict[str, str]] = {}
        for column in columns:
            number, branch = self._names.place(column)
            found.setdefault(number, {})[column] = branch
        return found

    def read(self, columns: Iterable[str], start: int, stop: int) -> dict[str, Column]:
        """Return events [start, stop) of columns."""
        columns = list(columns)
        shared = self._shared_out(columns)
        keys = [key for number in shared for key in self._parts[number].by]
        own = dict.fromkeys([*shared.get(0, {}).values(), *keys])
        primary = self._parts[0].file.read(own, start, stop) if own else {}
        found = {column: primary[branch] for column, branch in shared.pop(0, {}).items()}
        for number, names in shared.items():
            part = self._parts[number]
            branches = list(dict.fromkeys(names.values()))
            if part.by:
                read = partial(self._matched, number, branches, start, stop, primary)
            else:
                read = partial(part.file.read, branches, start, stop)
            arrays = self._located(part, read)
            found |= {column: arrays[branch] for column, branch in names.items()}
        return {column: found[column] for column in columns}

    def _located(self, part: JoinedPart, read: Callable[[], dict[str, Column]]) -> dict[str, Column]:
        try:
            return read()
        except InputFileError as error:
            raise _of_source(error, self.path, part.name, part.file.path) from error

    def _matched(
        self, number: int, branches: list[str], start: int, stop: int, primary: Mapping[str, Column]
    ) -> dict[str, Column]:
        """Return branches of a source for the events [start, stop), found by their keys."""
        rows = self._rows(number, start, stop, primary)
        valid = rows >= 0 if self._joins[number - 1].on_mismatch == "missing" else None
        found = gathered(self._parts[number].file, branches, rows, valid)
        return tidy({name: ak.Array(column) for name, column in found.items()})

    def _rows(self, number: int, start: int, stop: int, primary: Mapping[str, Column]) -> Any:
        """Return the entry of each event [start, stop) in a source; −1 where it has none."""
        join = self._joins[number - 1]
        keys = _as_keys(self._parts[0], list(join.by), primary)
        rows = self._index(number).find(keys)
        if join.on_mismatch == "error" and len(lost := np.flatnonzero(rows < 0)):
            message = (
                f"it lacks {len(lost):,} of the events {start:,}–{stop:,}, such as {shown(list(join.by), keys, lost)}"
            )
            hint = "with `on_mismatch: missing` in `joins`, its values are missing for these events"
            raise InputFileError(self.path, message, hint)
        self._last[number] = (start, stop), rows
        return rows

    def _index(self, number: int) -> KeyIndex:
        """Return the index of a source. Files that were indexed before are not read again."""
        part, join = self._parts[number], self._joins[number - 1]
        names = list(part.by.values())

        def make() -> KeyIndex:
            try:
                return KeyIndex(
                    names, _as_keys(part, names, part.file.read(dict.fromkeys(names), 0, part.file.entries))
                )
            except KeyMatchError as error:
                hint = "an event must have one partner: add a key in `by`, or remove the copies"
                raise InputFileError(part.file.path, str(error), hint) from error

        file = part.file
        return _INDICES.get((file.path, file.section, _state(file), join.kind, str(join.params), *names), make)

    def prefetch(self, columns: Iterable[str], start: int, stop: int) -> None:
        """Begin to fetch what `read` will need from servers, except entries that are found by keys."""
        shared = self._shared_out(columns)
        keys = [key for number in shared for key in self._parts[number].by]
        wanted = {number: list(dict.fromkeys(names.values())) for number, names in shared.items()}
        wanted[0] = list(dict.fromkeys([*wanted.get(0, ()), *keys]))
        for number, branches in wanted.items():
            begin = getattr(self._parts[number].file, "prefetch", None)
            if begin is not None and branches and not self._parts[number].by:
                begin(branches, start, stop)

    def branch_bytes(self, columns: Iterable[str], start: int, stop: int) -> dict[str, int]:
        """Return the compressed bytes of columns; of entries that are found by keys, those from the first to the last."""
        found: dict[str, int] = {}
        for number, names in self._shared_out(columns).items():
            first, last = start, stop
            if self._parts[number].by:
                first, last = self._extent(number, start, stop)
            sizes = self._parts[number].file.branch_bytes(dict.fromkeys(names.values()), first, last)
            found |= {column: sizes.pop(branch, 0) for column, branch in names.items()}
        return found

    def _extent(self, number: int, start: int, stop: int) -> tuple[int, int]:
        """Return the first entry that belongs to one of the events [start, stop), and the one after the last."""
        span, rows = self._last.get(number, ((-1, -1), None))
        if span != (start, stop):
            keys = self._parts[0].file.read(list(self._parts[number].by), start, stop)
            rows = self._rows(number, start, stop, keys)
        rows = rows[rows >= 0]
        return (int(rows.min()), int(rows.max()) + 1) if len(rows) else (0, 0)

    @property
    def bytes_read(self) -> int:
        """Compressed bytes read so far."""
        return sum(part.file.bytes_read for part in self._parts)

    def close(self) -> None:
        """Release all files."""
        for part in self._parts:
            part.file.close()


def _as_keys(part: JoinedPart, names: Sequence[str], columns: Mapping[str, Column]) -> list[Any]:
    try:
        return [as_keys(columns[name], name) for name in names]
    except KeyMatchError as error:
        raise InputFileError(part.file.path, str(error), KEYS) from error


def _can_be_key(branch: Branch) -> bool:
    if branch.problem or branch.shape or branch.dtype == TEXT:
        return False
    return not branch.dtype or np.dtype(branch.dtype).kind in "iub"


def _uuid(files: Sequence[OpenInput]) -> str:
    """Return the identity of all files together; empty if that of one is not known."""
    primary, *others = files
    own = primary.uuid or ("" if "://" in primary.path else "local")
    states = [own, *map(_state, others)]
    return hashlib.sha256("|".join(states).encode()).hexdigest()[:32] if all(states) else ""


def _state(file: OpenInput) -> str:
    """Return the identity of the content of a file: its own, else its size and time."""
    if file.uuid or "://" in file.path:
        return file.uuid
    stat = Path(file.path).stat()
    return f"{stat.st_size}:{stat.st_mtime_ns}"
