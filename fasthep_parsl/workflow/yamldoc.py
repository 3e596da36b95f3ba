"""YAML documents in which each value has a place (file, line, column) and a layer.

A `Document` is a tree of `Node`. `Document.data` is plain data for validation, `Document.marks` has the places. Both use
the same key paths (``("analysis", "stages", 0, "op")``). Numbers follow YAML 1.2 (``1e5`` is a number, ``2:00:00`` and
dates are text). Keys are always text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from fasthep_parsl.errors import SETTING, ConfigError, Hint, Location, Problem

KeyPath = tuple[str | int, ...]
"""Path of a value in a document: keys and list positions."""

Lists = Literal["join", "replace"]


@dataclass(frozen=True, slots=True)
class Node:
    """A value and its place.

    Attributes
    ----------
    value : dict of str to Node, list of Node, or scalar
        The content.
    where : Location or None
        Place of the value.
    key : Location or None
        Place of its key; None for list items and the root.
    layer : str
        Layer that set it: ``package defaults``, ``workflow``, ``site profile local``, ``user site file``, ``--set``.
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
    """Places in a document. A path that does not exist has the place of its nearest parent."""

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
        """Return the place of the key at `path`; for a list item, the place of the item."""
        node = self._node(path)
        return node.key or node.where

    def value(self, path: KeyPath) -> Location | None:
        """Return the place of the value at `path`; for a block that begins below its key, the place of the key."""
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
    """A YAML document with places and layers.

    Attributes
    ----------
    root : Node
        The content, a mapping.
    path : str
        The file, as named by the user.
    files : tuple of str
        All files of the document, included ones first.
    """

    root: Node
    path: str = ""
    files: tuple[str, ...] = ()

    @cached_property
    def data(self) -> dict[str, Any]:
        """The content as plain data. Read-only."""
        plain: dict[str, Any] = self.root.plain()
        return plain

    @cached_property
    def marks(self) -> Marks:
        """The places of all values."""
        return Marks(self.root)

    def has(self, path: KeyPath) -> bool:
        """Return whether `path` exists."""
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
        """Return the folder for relative paths at `path`: that of their file.

        Paths on the command line are relative to the current folder.
        """
        where = self.marks.value(path)
        file = where.file if where else self.path
        return Path.cwd() if file.startswith(SETTING) else Path(file).resolve().parent

    def under(self, *keys: str) -> Document:
        """Return a new document with the content under `keys`."""
        root = self.root
        for key in reversed(keys):
            root = Node({key: root}, root.where, None, root.layer)
        return replace(self, root=root)


def show_path(path: KeyPath) -> str:
    """Return a key path as text: ``analysis.stages[2].params.expr``."""
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
    """Return a `Problem` at `path` of `document`.

    Parameters
    ----------
    document : Document or None
        The document with the mistake; None for a problem without a place.
    path : tuple of str and int
        Key path of the mistake. If it does not exist, the place is that of its nearest parent.
    code, message, hint, name
        See `Problem`.
    on : "value" or "key"
        Whether to underline the value or the key.
    """
    where = None
    if document is not None:
        where = document.marks.key(path) if on == "key" else document.marks.value(path)
    return Problem(code, message, show_path(path), where, hint, name)


def placed(item: Problem, document: Document, path: KeyPath) -> Problem:
    """Return a problem of another part of the package, placed at `path` of `document`."""
    return replace(item, key=show_path(path), where=document.marks.value(path))


def merge(low: Document, high: Document, *, lists: Lists = "replace") -> Document:
    """Return `high` merged over `low`. Mappings are merged at every depth, all other values are those of `high`.

    A mapping with a different ``kind`` replaces the lower mapping completely, because the kinds have different fields.

    Parameters
    ----------
    low, high : Document
        The documents. Values keep their places.
    lists : "replace" or "join"
        Whether a list replaces the lower list (layers of a site) or is appended to it (included files).
    """
    files = (*low.files, *(name for name in high.files if name not in low.files))
    return Document(merge_nodes(low.root, high.root, lists), high.path or low.path, files)


def merge_nodes(low: Node, high: Node, lists: Lists) -> Node:
    """Return the node `high` merged over `low`; see `merge`."""
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
    """Yield all nodes with their key paths, parents first."""
    yield path, node
    if isinstance(node.value, dict):
        for name, child in node.value.items():
            yield from walk(child, (*path, name))
    elif isinstance(node.value, list):
        for number, child in enumerate(node.value):
            yield from walk(child, (*path, number))


def refuse(*problems: Problem) -> ConfigError:
    """Return the error for `problems`, sorted by place."""

    def place(item: Problem) -> tuple[bool, str, int, int]:
        where = item.where
        return (where is None, where.file if where else "", where.line if where else 0, where.column if where else 0)

    return ConfigError(*sorted(problems, key=place))
