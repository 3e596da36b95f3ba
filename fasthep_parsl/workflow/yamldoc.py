"""YAML that remembers where everything stands: file, line, column, and the layer that set it.

A `Document` is a tree of `Node`. Plain data for validation come from `Document.data`, places from
`Document.marks`; both are addressed by the same path (``("analysis", "stages", 0, "op")``).
Numbers follow YAML 1.2 (``1e5`` is a number, ``2:00:00`` and dates are text); mapping keys are always text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from fasthep_parsl.errors import ConfigError, Hint, Location, Problem

KeyPath = tuple[str | int, ...]
"""Where in a document something stands: keys and list positions."""

Lists = Literal["join", "replace"]


@dataclass(frozen=True, slots=True)
class Node:
    """A value and where it stands.

    Attributes
    ----------
    value : dict of str to Node, list of Node, or scalar
        The content.
    where : Location or None
        Where the value begins.
    key : Location or None
        Where its key stands; None for list items and the root.
    layer : str
        Who set it: ``package defaults``, ``workflow``, ``site profile local``, ``user site file``, ``--set``.
    """

    value: Any
    where: Location | None = None
    key: Location | None = None
    layer: str = ""

    def plain(self) -> Any:
        """Return the content as plain data."""
        if isinstance(self.value, dict):
            return {name: node.plain() for name, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value

    def child(self, step: str | int) -> Node | None:
        """Return the value under a key or at a position, None if there is none."""
        if isinstance(self.value, dict) and isinstance(step, str):
            found = self.value.get(step)
            return found if isinstance(found, Node) else None
        if isinstance(self.value, list) and isinstance(step, int) and 0 <= step < len(self.value):
            item = self.value[step]
            return item if isinstance(item, Node) else None
        return None


@dataclass(frozen=True, slots=True)
class Marks:
    """Where the parts of a document stand. A path that does not exist gets the place of its nearest parent."""

    root: Node

    def _node(self, path: KeyPath) -> Node:
        node = self.root
        for step in path:
            found = node.child(step)
            if found is None:
                return node
            node = found
        return node

    def key(self, path: KeyPath) -> Location | None:
        """Return where the key at `path` stands (of a list item: where the item begins)."""
        node = self._node(path)
        return node.key or node.where

    def value(self, path: KeyPath) -> Location | None:
        """Return where the value at `path` begins; a block that starts below its key is shown at the key."""
        node = self._node(path)
        below = node.key and node.where and (node.where.file, node.where.line) != (node.key.file, node.key.line)
        if node.key and (node.where is None or (isinstance(node.value, dict | list) and below)):
            return node.key
        return node.where

    def layer(self, path: KeyPath) -> str:
        """Return the name of the layer that set the value at `path`."""
        return self._node(path).layer


@dataclass(frozen=True)
class Document:
    """A YAML document with marks.

    Attributes
    ----------
    root : Node
        The content, a mapping.
    path : str
        The file as the user named it.
    files : tuple of str
        All files that were read, included ones first.
    """

    root: Node
    path: str = ""
    files: tuple[str, ...] = ()

    @cached_property
    def data(self) -> dict[str, Any]:
        """The content as plain data; treat as read-only."""
        plain: dict[str, Any] = self.root.plain()
        return plain

    @cached_property
    def marks(self) -> Marks:
        """Where everything stands."""
        return Marks(self.root)

    def has(self, path: KeyPath) -> bool:
        """Return whether there is something at `path`."""
        node: Node | None = self.root
        for step in path:
            node = node.child(step) if node else None
        return node is not None

    def get(self, path: KeyPath) -> Node | None:
        """Return the node at `path`, None if there is none."""
        node: Node | None = self.root
        for step in path:
            node = node.child(step) if node else None
        return node

    def folder_of(self, path: KeyPath) -> Path:
        """Return the folder in which relative paths at `path` begin: that of the file in which they stand.

        What stands on the command line begins in the current folder.
        """
        where = self.marks.value(path)
        file = where.file if where else self.path
        return Path.cwd() if file.startswith("--set ") else Path(file).resolve().parent

    def under(self, *keys: str) -> Document:
        """Return the document whose content stands under `keys` in a new one."""
        root = self.root
        for key in reversed(keys):
            root = Node({key: root}, root.where, None, root.layer)
        return replace(self, root=root)


def show_path(path: KeyPath) -> str:
    """Return a path as people write it: ``analysis.stages[2].params.expr``."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            shown = step if re.fullmatch(r"[\w-]+", step) else f'"{step}"'
            text += f".{shown}" if text else shown
    return text


def problem(
    document: Document | None,
    path: KeyPath,
    code: str,
    message: str,
    hint: Hint = "",
    *,
    on: Literal["value", "key"] = "value",
    name: str = "",
) -> Problem:
    """Return a `Problem` placed at `path` of `document`.

    Parameters
    ----------
    document : Document or None
        Where the mistake is; None gives a problem without a place.
    path : tuple of str and int
        What is wrong; if it does not exist, its nearest parent is shown.
    code, message, hint, name
        See `Problem`.
    on : "value" or "key"
        What to underline.
    """
    where = None
    if document is not None:
        where = document.marks.key(path) if on == "key" else document.marks.value(path)
    return Problem(code, message, show_path(path), where, hint, name)


def placed(item: Problem, document: Document, path: KeyPath) -> Problem:
    """Return a problem that was found elsewhere, placed at `path` of `document`."""
    return replace(item, key=show_path(path), where=document.marks.value(path))


def merge(low: Document, high: Document, *, lists: Lists = "replace") -> Document:
    """Return `high` over `low`: mappings are merged at every depth, everything else is taken from `high`.

    A mapping with another ``kind`` than the one below replaces it whole: the fields of one kind mean nothing to
    another.

    Parameters
    ----------
    low, high : Document
        The documents; the marks of what is taken are kept.
    lists : "replace" or "join"
        Whether a list replaces the one below (layers of a site) or is appended to it (included files).
    """
    files = (*low.files, *(name for name in high.files if name not in low.files))
    return Document(merge_nodes(low.root, high.root, lists), high.path or low.path, files)


def merge_nodes(low: Node, high: Node, lists: Lists) -> Node:
    """Return the node `high` over `low`, as `merge` does."""
    if isinstance(low.value, dict) and isinstance(high.value, dict):
        kinds = [node.value["kind"].value for node in (low, high) if "kind" in node.value]
        if "kind" in high.value and len({str(kind) for kind in kinds}) > 1:
            return high
        merged = dict(low.value)
        for name, node in high.value.items():
            merged[name] = merge_nodes(merged[name], node, lists) if name in merged else node
        return replace(high, value=merged)
    if lists == "join" and isinstance(low.value, list) and isinstance(high.value, list):
        return replace(high, value=[*low.value, *high.value])
    return high


def walk(node: Node, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Node]]:
    """Yield every node with its path, parents first."""
    yield path, node
    if isinstance(node.value, dict):
        for name, child in node.value.items():
            yield from walk(child, (*path, name))
    elif isinstance(node.value, list):
        for number, child in enumerate(node.value):
            yield from walk(child, (*path, number))


def refuse(*problems: Problem) -> ConfigError:
    """Return the error for `problems`, in the order of the files."""

    def place(item: Problem) -> tuple[bool, str, int, int]:
        where = item.where
        return (where is None, where.file if where else "", where.line if where else 0, where.column if where else 0)

    return ConfigError(*sorted(problems, key=place))
