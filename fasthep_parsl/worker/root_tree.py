"""Source ``root_tree``: a TTree in a ROOT file."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from itertools import accumulate
from pathlib import Path
from typing import Any

from fasthep_parsl.errors import suggest
from fasthep_parsl.interfaces import Shape
from fasthep_parsl.ops.stream import Column
from fasthep_parsl.worker.columns import InputFileError, first_line, tidy

TREES = ("TTree", "TNtuple", "TNtupleD", "TChain")
"""Classes of ROOT that hold events and are read here."""


class RootFile:
    """A TTree in a ROOT file, local or remote."""

    def __init__(self, path: str, tree: str) -> None:
        import uproot

        self.path = path
        local = "://" not in path
        options: dict[str, Any] = {"handler": uproot.MemmapSource} if local else {}
        size = Path(path).stat().st_size if local and Path(path).is_file() else -1
        if size == 0:
            raise InputFileError(path, "the file is empty (0 bytes)", "was it written to the end?")
        try:
            self._file = uproot.open(path, array_cache=None, **options)
        except FileNotFoundError:
            raise InputFileError(path, "no such file") from None
        except PermissionError:
            raise InputFileError(path, "you may not read it", "see its permissions with `ls -l`") from None
        except Exception as error:
            raise InputFileError(path, f"not a readable ROOT file: {first_line(error)}", "is it truncated?") from error
        if 0 <= size < self._file.file.fEND:
            self._file.close()
            message = f"the file is truncated: it has {size:,} of {self._file.file.fEND:,} bytes"
            raise InputFileError(path, message, "copy it again")
        try:
            self._tree = self._file[tree]
            kind = self._tree.classname
            self.entries = int(self._tree.num_entries) if kind in TREES else 0
        except uproot.exceptions.KeyInFileError:
            raise InputFileError(path, f"no tree `{tree}`", suggest(tree, self._trees(), what="trees")) from None
        except Exception as error:
            raise InputFileError(path, f"tree `{tree}` is damaged: {first_line(error)}", "is it truncated?") from error
        if kind not in TREES:
            raise InputFileError(path, f"`{tree}` is a {kind}, not a TTree", suggest(tree, self._trees(), what="trees"))
        self._branches: dict[str, Any] = {}
        self._sums: dict[str, tuple[list[int], list[int]]] = {}
        self._local = local

    def _trees(self) -> set[str]:
        """Names of all trees in the file."""
        return {name.split(";")[0] for name, kind in self._file.classnames().items() if kind in TREES}

    def clusters(self) -> list[int]:
        """Event numbers at which all branches begin a new basket, with 0 and the end."""
        return [int(edge) for edge in self._tree.common_entry_offsets()] if self.entries else []

    def shapes(self) -> dict[str, Shape]:
        """Branches and their structure; a jagged branch has the name of its counter."""
        found: dict[str, Shape] = {}
        for branch in self._tree.branches:
            found |= _branch_shapes(branch, "")
        return found

    def has(self, column: str) -> bool:
        """Return whether the tree has a branch."""
        return column in self._branches or column in self._tree

    def read(self, columns: Iterable[str], start: int, stop: int) -> dict[str, Column]:
        """Return events [start, stop); flat columns as numpy arrays, jagged ones share equal offsets."""
        names = list(columns)
        try:
            if self._local:
                arrays = {name: self._branch(name).array(entry_start=start, entry_stop=stop) for name in names}
            else:  # one request for all columns
                arrays = self._tree.arrays(names, entry_start=start, entry_stop=stop, how=dict)
        except InputFileError:
            raise
        except Exception as error:
            where = f"events {start}–{stop} cannot be read: {first_line(error)}"
            raise InputFileError(self.path, where, "is the file damaged?") from error
        return tidy(arrays)

    def _branch(self, name: str) -> Any:
        if name not in self._branches:
            try:
                self._branches[name] = self._tree[name]
            except Exception:  # noqa: BLE001  (uproot raises several kinds)
                known = self._tree.keys()
                raise InputFileError(self.path, f"no branch `{name}`", suggest(name, known, what="branches")) from None
        return self._branches[name]

    def branch_bytes(self, columns: Iterable[str], start: int, stop: int) -> dict[str, int]:
        """Return the compressed bytes of the baskets that hold events [start, stop), by column."""
        found = {}
        for name in columns:
            if name not in self._sums:
                branch = self._branch(name)
                sizes = branch.member("fBasketBytes")[: len(branch.entry_offsets) - 1]
                self._sums[name] = branch.entry_offsets, [0, *accumulate(map(int, sizes))]
            edges, sums = self._sums[name]
            first, last = bisect_right(edges, start) - 1, bisect_left(edges, stop)
            found[name] = sums[last] - sums[first] if stop > start else 0
        return found

    @property
    def bytes_read(self) -> int:
        """Compressed bytes read so far."""
        return int(self._file.file.source.num_requested_bytes)

    def close(self) -> None:
        """Release the file."""
        self._file.close()


def _branch_shapes(branch: Any, prefix: str) -> dict[str, Shape]:
    name = prefix + branch.name
    if len(branch.branches):  # a split object: its members are the columns
        found: dict[str, Shape] = {}
        for member in branch.branches:
            found |= _branch_shapes(member, "" if "." in member.name else f"{name}/")
        return found
    kind = type(branch.interpretation).__name__
    if kind == "AsJagged":
        counter = branch.count_branch
        if counter is None or counter.name == f"n{branch.name}":  # uproot writes one counter per field: tells nothing
            return {name: ("*",)}
        return {name: (counter.name,)}
    if kind in ("AsDtype", "AsDouble32", "AsFloat16"):
        inner = getattr(branch.interpretation, "inner_shape", ())
        return {name: ("*",) * len(inner)}
    if kind == "UnknownInterpretation":
        return {}
    return {name: ("*",)}
