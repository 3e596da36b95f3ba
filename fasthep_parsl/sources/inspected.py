"""What an input file contains, from its headers: objects, and the branches of one tree with types and sizes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from fasthep_parsl.errors import suggest, summary_of
from fasthep_parsl.interfaces import Branch, InputFileError
from fasthep_parsl.sources.disk_sizes import StoredBranch
from fasthep_parsl.storage import SCHEMES, FileObject, StorageLimits, is_remote, limited, local_path, open_remote

FileFormat = Literal["root", "parquet"]
MAGIC: dict[bytes, FileFormat] = {b"root": "root", b"PAR1": "parquet"}
KINDS: dict[FileFormat, str] = {"root": "root_tree", "parquet": "parquet"}
"""Format → kind of the source that reads it."""
MOST_READ = 20
"""Most trees of a file whose headers are read to compare them."""
Chosen = Literal["only", "named", "largest", "asked"]
"""Why a tree is looked at: there is no other, it is called ``Events``, it is the largest, the user names it."""
USUAL = "events"
"""Name of the tree with events, in lower case."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class InspectedBranch(_Part):
    """A branch, a column, or a member of an object."""

    name: str = Field(description="name in expressions; if it cannot be one there, give it another in `fields`")
    type: str = Field(description="`float32`, `list of float32`, `text` …; empty if it is no field")
    counter: str = Field("", description="lists with the same counter have equal lengths; empty if unknown")
    title: str = Field("", description="what the file says about it")
    bytes: int | None = Field(
        None, description="compressed; null if the header does not say it, and for members, which their object counts"
    )
    problem: str = Field("", description="why it is no field; for an object, its members are")


class InspectedTree(_Part):
    """The tree that was looked at."""

    name: str = Field(description="with its folder; empty for Parquet")
    chosen: Chosen = Field(description="why this one: there is no other, its name, its size, or `--tree`")
    entries: int = Field(description="number of events")
    clusters: int = Field(description="parts that can be read separately: clusters, row groups")
    pieces: int = Field(description="compressed pieces: baskets, pages, column chunks")
    unit: str = Field(description="what these are called")
    bytes: int = Field(description="compressed bytes of all branches")
    branches: tuple[InspectedBranch, ...] = Field(description="in the order of the file")


class InspectedObject(_Part):
    """An object of a ROOT file."""

    name: str = Field(description="with its folder")
    kind: str = Field(description="class")
    entries: int | None = Field(None, description="of a tree; null if it was not read")
    bytes: int | None = Field(None, description="compressed bytes of a tree; null if they were not read")


class InspectedFile(_Part):
    """What `fasthep-parsl inspect --json` prints."""

    path: str = Field(description="as given")
    format: FileFormat = Field(description="root or parquet")
    bytes: int | None = Field(description="size of the file; null for a file on a server")
    objects: tuple[InspectedObject, ...] = Field((), description="all objects of a ROOT file, the newest cycle of each")
    tree: InspectedTree = Field(description="the tree that was looked at")


def inspect_file(path: str, tree: str | None = None) -> InspectedFile:
    """Read the headers of a file and return what it contains. No event is read.

    Parameters
    ----------
    path : str
        Path or URL.
    tree : str, optional
        Tree to look at. Default: the only one, the one that is called ``Events``, or the largest.

    Raises
    ------
    InputFileError
        The file cannot be read, or has no such tree.
    """
    with limited(StorageLimits()):
        try:
            kind = format_of(path)
            return _root(path, tree) if kind == "root" else _parquet(path, tree)
        except (InputFileError, OSError):
            raise
        except Exception as error:  # libraries raise any error on damaged files
            message = f"the file cannot be read: {summary_of(error)}"
            raise InputFileError(path, message, "is it damaged?", cause="corrupt") from error


def format_of(path: str) -> FileFormat:
    """Return the format of a file from its first bytes.

    Raises
    ------
    InputFileError
        The file cannot be read, or has another format.
    """
    head = _head(path)
    found = MAGIC.get(head)
    if found is None:
        begins = f"it begins with {head!r}" if head else "the file is empty (0 bytes)"
        message = f"not a ROOT or Parquet file: {begins}" if head else begins
        raise InputFileError(path, message, "" if head else "was it written to the end?", cause="corrupt")
    return found


def _head(path: str) -> bytes:
    if is_remote(path):
        with FileObject(open_remote(path, StorageLimits())) as remote:
            return remote.read(4)
    place = local_path(path)
    if "://" in place:
        hint = str(suggest(path.partition("://")[0], SCHEMES, what="supported"))
        raise InputFileError(path, "URLs with this scheme are not supported", hint)
    with Path(place).open("rb") as file:
        return file.read(4)


def _root(path: str, wanted: str | None) -> InspectedFile:
    from fasthep_parsl.sources.root_file import CLASSES, classes_in, open_root, tree_in

    with _closing(open_root(path)) as file:
        classes = {name.rpartition(";")[0]: kind for name, kind in reversed(classes_in(file).items())}
        classes = dict(reversed(classes.items()))  # the newest cycle comes first
        trees = [name for name, kind in classes.items() if kind in CLASSES]
        if not trees and wanted is None:
            raise InputFileError(path, *_without_trees(classes))
        several = {name: _opened_tree(file, path, name) for name in trees[:MOST_READ]}
        read = {name: _tree_facts(name, classes[name], opened) for name, opened in several.items()}
        name, chosen = choose(trees, read)
        if wanted is not None:
            name, chosen = wanted.strip("/"), "asked"
        opened: Any = several.get(name) or tree_in(file, path, name)
        objects = [read.get(n) or InspectedObject(name=n, kind=kind) for n, kind in classes.items()]
        size = None if is_remote(path) else Path(local_path(path)).stat().st_size
        found = _tree(opened, name, chosen)
    return InspectedFile(path=path, format="root", bytes=size, objects=tuple(objects), tree=found)


def _parquet(path: str, wanted: str | None) -> InspectedFile:
    from fasthep_parsl.sources.parquet_file import ParquetFile

    if wanted is not None:
        raise InputFileError(path, "a Parquet file has no trees", "leave out --tree")
    with _closing(ParquetFile(path)) as file:
        size = None if is_remote(path) else Path(local_path(path)).stat().st_size
        return InspectedFile(path=path, format="parquet", bytes=size, tree=_tree(file, "", "only"))


@contextmanager
def _closing(file: Any) -> Iterator[Any]:
    try:
        yield file
    finally:
        with suppress(Exception):
            file.close()


def _without_trees(classes: dict[str, str]) -> tuple[str, str]:
    """Return message and hint for a file without trees: which objects it has."""
    if not classes:
        return "there is no object in the file", "was it written to the end?"
    shown = [f"{name} ({kind})" for name, kind in list(classes.items())[:10]]
    more = f" … ({len(classes)} objects in all)" if len(classes) > len(shown) else ""
    return "no TTree or RNTuple in the file", f"it has {', '.join(shown)}{more}"


def _opened_tree(file: Any, path: str, name: str) -> Any:
    """Return an open tree, None if it cannot be read: it is listed all the same."""
    from fasthep_parsl.sources.root_file import tree_in

    try:
        return tree_in(file, path, name)
    except InputFileError:
        return None


def _tree_facts(name: str, kind: str, opened: Any) -> InspectedObject:
    if opened is None:
        return InspectedObject(name=name, kind=kind)
    return InspectedObject(name=name, kind=kind, entries=opened.entries, bytes=opened.stored().bytes)


def choose(names: Iterable[str], read: dict[str, InspectedObject]) -> tuple[str, Chosen]:
    """Return the tree that probably has the events, and why: the only one, ``Events``, or the largest."""
    every = list(names)
    if len(every) < 2:
        return "".join(every), "only"
    usual = [name for name in every if name.rpartition("/")[2].lower() == USUAL]
    if usual:
        return usual[0], "named"
    return max(every, key=lambda name: (read[name].bytes or 0) if name in read else -1), "largest"


def _tree(opened: Any, name: str, chosen: Chosen) -> InspectedTree:
    stored = opened.stored()
    found = opened.branches().found
    return InspectedTree(
        name=name,
        chosen=chosen,
        entries=opened.entries,
        clusters=max(len(opened.clusters()) - 1, 0),
        pieces=stored.pieces,
        unit=stored.unit,
        bytes=stored.bytes,
        branches=tuple(_branch(key, branch, stored.branches.get(key)) for key, branch in found.items()),
    )


def _branch(name: str, branch: Branch, stored: StoredBranch | None) -> InspectedBranch:
    counter = next((level for level in branch.shape[:1] if level != "*"), "")
    return InspectedBranch(
        name=name,
        type=type_in_words(branch),
        counter=counter,
        title=_title(name, stored.title) if stored else "",
        bytes=stored.bytes if stored else None,
        problem=branch.problem,
    )


def type_in_words(branch: Branch) -> str:
    """Return the type of a branch: ``list of float32``; empty if it is no field."""
    return "" if branch.problem else "list of " * len(branch.shape) + branch.dtype


def _title(name: str, title: str) -> str:
    """Return a title, unless it only repeats name and type as ROOT writes them: ``Muon_pt[nMuon]/F``."""
    last = re.escape(re.split("[./]", name)[-1])
    return "" if re.fullmatch(rf"(\S*\.)?{last}(\[\w*\])*(/\w)?(:\S+)?", title) else title
