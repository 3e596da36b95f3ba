"""Merge the layers of a site over a workflow, and expand ``${VARIABLE}`` in their values."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import reduce

from fasthep_parsl.errors import Advice, Problem
from fasthep_parsl.workflow.yamldoc import Document, KeyPath, Node, merge, show_path

KINDS = ("backend", "strategy", "environment")
"""Keys of ``execution:`` with a name, or a mapping with ``kind:``."""

_REFERENCE = re.compile(r"(\$\$\{)|\$\{([^}]*)(\}?)")
_CONTENT = re.compile(r"([A-Za-z_]\w*)(?::-(.*))?", re.DOTALL)


def spell_out(document: Document, at: KeyPath = ()) -> Document:
    """Return `document` with ``strategy: slurm`` written as ``strategy: {kind: slurm}``, so that fields can be merged.

    A list of prefixes as ``storage`` becomes a mapping, too.

    Parameters
    ----------
    document : Document
        A workflow or a site profile.
    at : tuple
        Key path of the content of ``execution:``.
    """
    execution = document.get(at)
    if execution is None or not isinstance(execution.value, dict):
        return document
    content = {key: spelled(node) if key in KINDS else node for key, node in execution.value.items()}
    storage = content.get("storage")
    if storage is not None and isinstance(storage.value, str | list):
        content["storage"] = replace(storage, value={"prefixes": replace(storage, key=None)})
    return replace(document, root=_replaced(document.root, at, replace(execution, value=content)))


def spelled(node: Node) -> Node:
    """Return the name of a kind as a mapping with ``kind:``, any other value unchanged."""
    if not isinstance(node.value, str) or not node.value.strip():
        return node
    return replace(node, value={"kind": Node(node.value, node.where, node.key, node.layer)})


def lay_over(document: Document, layers: Sequence[Document]) -> Document:
    """Return a workflow with the layers of a site merged over its ``execution:``, lowest first.

    The strategy of the site replaces that of the workflow completely: the fields of another batch system do not apply.
    """
    if not layers:
        return document
    site = reduce(merge, (spell_out(layer) for layer in layers))
    execution = document.get(("execution",))
    if site.has(("strategy",)) and execution is not None and isinstance(execution.value, dict):
        rest = {key: node for key, node in execution.value.items() if key != "strategy"}
        document = replace(document, root=_replaced(document.root, ("execution",), replace(execution, value=rest)))
    return merge(document, site.under("execution"))


def _replaced(root: Node, path: KeyPath, new: Node) -> Node:
    """Return `root` with `new` at `path`, a path through mappings."""
    if not path:
        return new
    step = str(path[0])
    return replace(root, value={**root.value, step: _replaced(root.value[step], path[1:], new)})


def expand(document: Document, layers: Collection[str], at: KeyPath = ()) -> tuple[Document, list[Problem]]:
    """Expand environment variables in the values of a site.

    ``${NAME}`` is the value of an environment variable of this process, ``${NAME:-text}`` is `text` if the variable is
    not set or empty. ``$NAME`` is not expanded; the shell of the worker's node does it. ``$${…}`` becomes ``${…}`` for
    that shell.

    Parameters
    ----------
    document : Document
        A workflow with its site, or a site profile.
    layers : collection of str
        Layers to expand.
    at : tuple
        Key path of the values to expand.

    Returns
    -------
    tuple
        The document without the values that cannot be expanded, and a problem for each of them.
    """
    problems: list[Problem] = []
    node = document.get(at)
    if not layers or node is None:
        return document, problems
    expander = _Expander(frozenset(layers), problems)
    found = expander.expand(node, at) or replace(node, value={})
    return replace(document, root=_replaced(document.root, at, found)), problems


def expand_text(text: str, path: KeyPath) -> str | Problem:
    """Return `text` with environment variables, as `expand`; a problem without a place if one is not set."""
    problems: list[Problem] = []
    found = _Expander({""}, problems).expand(Node(text), path)
    return str(found.value) if found is not None else problems[0]


class _Expander:
    def __init__(self, layers: Collection[str], problems: list[Problem]) -> None:
        self.layers = layers
        self.problems = problems

    def expand(self, node: Node, path: KeyPath) -> Node | None:
        """Return the node with values expanded, None if a variable is not set."""
        if isinstance(node.value, dict):
            found = {key: self.expand(child, (*path, key)) for key, child in node.value.items()}
            return replace(node, value={key: child for key, child in found.items() if child is not None})
        if isinstance(node.value, list):
            items = [self.expand(child, (*path, number)) for number, child in enumerate(node.value)]
            return replace(node, value=[item for item in items if item is not None])
        if not isinstance(node.value, str) or "${" not in node.value or node.layer not in self.layers:
            return node
        before = len(self.problems)
        text = _REFERENCE.sub(lambda match: self.value(match, node, path), node.value)
        return replace(node, value=text) if len(self.problems) == before else None

    def value(self, match: re.Match[str], node: Node, path: KeyPath) -> str:
        if match[1]:
            return "${"
        content = _CONTENT.fullmatch(match[2])
        if content is None or not match[3]:
            message = f"`{match[0]}` is neither `${{NAME}}` nor `${{NAME:-text}}`"
            hint = f"to leave it to the shell of the node, write `${match[0]}`"
            self.problems.append(Problem("E105", message, show_path(path), node.where, hint))
            return ""
        name, default = content[1], content[2]
        value = os.environ.get(name)
        if default is not None:
            return value or default
        if value is None:
            key = show_path(path)
            message = f"environment variable `{name}` is not set"
            advice = Advice("`export {0}=…`, or `{settings}`", (f"{key}=…",), (name,))
            self.problems.append(Problem("E147", message, key, node.where, advice, name))
            return ""
        return value
