"""Read the JSON of correctionlib (schema version 2) without correctionlib: names, inputs, and what constants can reach.

The format is documented at https://cms-nanoaod.github.io/correctionlib/schemav2.html. A correction is a tree of nodes.
A *category* looks up a text or an integer, a *binning* a number; formulas and numbers are leaves. A *compound correction*
evaluates other corrections of the file one after the other.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

InputType = Literal["string", "int", "real"]
Constant = str | int | float
Node = Any
"""A node of the tree as JSON: a number, or a mapping with ``nodetype``."""

GZIP = b"\x1f\x8b"


class CorrectionFileError(ValueError):
    """A file is not a set of corrections of schema version 2."""


@dataclass(frozen=True, slots=True)
class CorrectionInput:
    """An input of a correction."""

    name: str
    type: InputType


@dataclass(frozen=True, slots=True)
class Component:
    """The tree of one correction. `inputs` are in the order in which it takes them."""

    name: str
    inputs: tuple[str, ...]
    data: Node


@dataclass(frozen=True, slots=True)
class CorrectionEntry:
    """A correction or compound correction of a file.

    Attributes
    ----------
    name : str
        Its name.
    inputs : tuple of CorrectionInput
        Its inputs, in the order in which it takes them.
    components : tuple of Component
        What it evaluates: itself, or the corrections of a compound correction.
    updated : frozenset of str
        Inputs that a compound correction changes between its components.
    """

    name: str
    inputs: tuple[CorrectionInput, ...]
    components: tuple[Component, ...]
    updated: frozenset[str] = frozenset()

    @property
    def texts(self) -> tuple[str, ...]:
        """Names of the inputs that are text."""
        return tuple(item.name for item in self.inputs if item.type == "string")

    def input(self, name: str) -> CorrectionInput | None:
        """Return the input with a name."""
        return next((item for item in self.inputs if item.name == name), None)


def read_content(path: Path) -> str:
    """Return the JSON of a file, which may be compressed with gzip.

    Raises
    ------
    CorrectionFileError
        It is neither text nor compressed text.
    OSError
        It cannot be read.
    """
    content = path.read_bytes()
    try:
        return (gzip.decompress(content) if content.startswith(GZIP) else content).decode()
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise CorrectionFileError(f"cannot be decompressed: {error}") from None
    except UnicodeDecodeError:
        raise CorrectionFileError("is neither JSON nor JSON.gz") from None


def read_entries(path: Path) -> Mapping[str, CorrectionEntry]:
    """Return the corrections of a file by name. An unchanged file is read once.

    Raises
    ------
    CorrectionFileError
        It is not a set of corrections.
    OSError
        It cannot be read.
    """
    stat = path.stat()
    return _entries(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=16)
def _entries(path: Path, _mtime: int, _size: int) -> Mapping[str, CorrectionEntry]:
    try:
        content = json.loads(read_content(path))
    except ValueError as error:
        if isinstance(error, CorrectionFileError):
            raise
        raise CorrectionFileError(f"is not valid JSON: {error}") from None
    if not isinstance(content, dict) or "corrections" not in content:
        raise CorrectionFileError("is not a set of corrections: it has no `corrections`")
    if content.get("schema_version") != 2:
        raise CorrectionFileError(f"has the schema version `{content.get('schema_version')}`; supported: 2")
    try:
        simple = {item["name"]: _simple(item) for item in content["corrections"]}
        compound = [_compound(item, simple) for item in content.get("compound_corrections") or ()]
    except (KeyError, TypeError, AttributeError) as error:
        raise CorrectionFileError(
            f"does not follow the schema of correctionlib: {type(error).__name__} {error}"
        ) from None
    return {**simple, **{item.name: item for item in compound}}


def _inputs(item: Mapping[str, Any]) -> tuple[CorrectionInput, ...]:
    return tuple(CorrectionInput(part["name"], part["type"]) for part in item["inputs"])


def _simple(item: Mapping[str, Any]) -> CorrectionEntry:
    inputs = _inputs(item)
    component = Component(item["name"], tuple(part.name for part in inputs), item["data"])
    return CorrectionEntry(item["name"], inputs, (component,))


def _compound(item: Mapping[str, Any], simple: Mapping[str, CorrectionEntry]) -> CorrectionEntry:
    components = tuple(simple[name].components[0] for name in item["stack"])
    return CorrectionEntry(item["name"], _inputs(item), components, frozenset(item["inputs_update"]))


# --- what constants reach -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OutOfReach:
    """No result exists for constant inputs.

    Attributes
    ----------
    input : str
        The input whose value does not exist; empty if only the combination does not.
    choices : tuple
        Values that exist, sorted.
    low, high : float
        Range of its bins, if it is outside of them.
    """

    input: str
    choices: tuple[Constant, ...] = ()
    low: float = 0.0
    high: float = 0.0


def out_of_reach(entry: CorrectionEntry, constants: Mapping[str, Constant]) -> OutOfReach | None:
    """Return why a correction has no result for constant inputs, whatever the other inputs are; None if it can have one.

    Inputs that a compound correction updates are not looked at.
    """
    known = {name: value for name, value in constants.items() if name not in entry.updated}
    for component in entry.components:
        search = _Search()
        if not search.reaches(component.data, known):
            return search.reason(known)
    return None


def categories(entry: CorrectionEntry, name: str) -> tuple[Constant, ...]:
    """Return all values that categories of an input have."""
    search = _Search()
    for component in entry.components:
        search.reaches(component.data, {}, everything=True)
    return _sorted(search.keys.get(name, set()))


def bin_range(entry: CorrectionEntry, name: str) -> tuple[float, float] | None:
    """Return the range of all bins of an input; None if it has no bins."""
    search = _Search()
    for component in entry.components:
        search.reaches(component.data, {}, everything=True)
    found = search.ranges.get(name)
    return (min(low for low, _ in found), max(high for _, high in found)) if found else None


def _sorted(values: set[Constant]) -> tuple[Constant, ...]:
    return tuple(sorted(values, key=lambda value: (isinstance(value, str), value)))


class _Search:
    """Walks a tree along constants. Unknown inputs may take every branch."""

    def __init__(self) -> None:
        self.keys: dict[str, set[Constant]] = {}
        self.ranges: dict[str, list[tuple[float, float]]] = {}
        self.hit: set[str] = set()
        self.outside: set[str] = set()

    def reaches(self, node: Node, known: Mapping[str, Constant], *, everything: bool = False) -> bool:
        """Return whether a number can be reached. With `everything`, look at all nodes."""
        if not isinstance(node, dict):
            return True
        kind = node.get("nodetype")
        if kind == "category":
            return self._category(node, known, everything)
        if kind in ("binning", "multibinning"):
            return self._binning(node, known, everything)
        if kind == "transform":
            changed = {name: value for name, value in known.items() if name != node["input"]}
            rule = self.reaches(node["rule"], known, everything=everything)
            return self.reaches(node["content"], changed, everything=everything) and rule
        return True

    def _any(self, nodes: Any, known: Mapping[str, Constant], everything: bool) -> bool:
        inner = [node for node in nodes if isinstance(node, dict)]
        if everything:
            found = [self.reaches(node, known, everything=True) for node in inner]
            return all(found)
        return len(inner) < len(nodes) or any(self.reaches(node, known) for node in inner)

    def _category(self, node: Node, known: Mapping[str, Constant], everything: bool) -> bool:
        name, default = node["input"], node.get("default")
        items = {item["key"]: item["value"] for item in node["content"]}
        self.keys.setdefault(name, set()).update(items)
        others = [] if default is None else [default]
        if name not in known:
            return self._any([*items.values(), *others], known, everything)
        if known[name] in items:
            self.hit.add(name)
            return self.reaches(items[known[name]], known, everything=everything)
        if others:
            self.hit.add(name)
        return bool(others) and self.reaches(default, known, everything=everything)

    def _binning(self, node: Node, known: Mapping[str, Constant], everything: bool) -> bool:
        several = node["nodetype"] == "multibinning"
        names = node["inputs"] if several else [node["input"]]
        for name, edges in zip(names, node["edges"] if several else [node["edges"]], strict=True):
            low, high = _range(edges)
            self.ranges.setdefault(name, []).append((low, high))
            value = known.get(name)
            if node["flow"] == "error" and isinstance(value, int | float) and not low <= value < high:
                self.outside.add(name)
                return False
        flow = [] if isinstance(node["flow"], str) else [node["flow"]]
        return self._any([*node["content"], *flow], known, everything)

    def reason(self, known: Mapping[str, Constant]) -> OutOfReach:
        """Return why nothing was reached along the constants `known`."""
        for name in known:
            if name in self.keys and name not in self.hit:
                return OutOfReach(name, _sorted(self.keys[name]))
        for name in sorted(self.outside):
            lows, highs = zip(*self.ranges[name], strict=True)
            return OutOfReach(name, low=min(lows), high=max(highs))
        return OutOfReach("")


def _range(edges: Any) -> tuple[float, float]:
    """Return first and last edge, given as a list or as ``{n, low, high}``."""
    first, last = (edges["low"], edges["high"]) if isinstance(edges, dict) else (edges[0], edges[-1])
    return float(first), float(last)
