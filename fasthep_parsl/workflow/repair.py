"""Guess what was meant in a wrong workflow, so that the rest of it can be checked too. A guess is never run."""

from __future__ import annotations

import difflib
from dataclasses import replace

from pydantic import ValidationError

from fasthep_parsl.names import meant_name
from fasthep_parsl.workflow.model import Workflow
from fasthep_parsl.workflow.translate import allowed_keys, location_of
from fasthep_parsl.workflow.yamldoc import Document, KeyPath, Node, merge_nodes


def repair(document: Document, error: ValidationError) -> Document:
    """Return `document` with misspelt keys and invalid ids renamed, and without other unknown keys and wrong values.

    Parameters
    ----------
    document : Document
        A workflow that is not valid.
    error : ValidationError
        The error of validating it as a `Workflow`.
    """
    root = document.root
    for detail in error.errors(include_url=False, include_context=False):
        path = location_of(detail["loc"], detail["type"], Workflow)
        path = path[:-1] if path[-1:] == ("[key]",) else path
        if detail["type"] == "missing" or not path:
            continue
        meant = ""
        if detail["type"] == "extra_forbidden":
            close = difflib.get_close_matches(str(path[-1]), allowed_keys(Workflow, path[:-1]), n=1)
            meant = close[0] if close else ""
        name = meant_name(str(detail["input"])) if path[-1] == "id" else ""
        root = _changed(root, path, meant, name)
    return replace(document, root=root)


def _changed(node: Node, path: KeyPath, meant: str, value: str = "") -> Node:
    """Return `node` with the key at `path` renamed to `meant` or set to `value`; without the key if both are empty."""
    step, rest = path[0], path[1:]
    child = node.child(step)
    if child is None:
        return node
    if isinstance(node.value, list):
        new = [_changed(child, rest, meant, value)] if rest else []
        return replace(node, value=[*node.value[: int(step)], *new, *node.value[int(step) + 1 :]])
    if rest:
        return replace(node, value={**node.value, str(step): _changed(child, rest, meant, value)})
    if value:
        return replace(node, value={**node.value, str(step): replace(child, value=value)})
    others = {key: item for key, item in node.value.items() if key != step}
    if meant:
        others[meant] = merge_nodes(child, others[meant], "replace") if meant in others else child
    return replace(node, value=others)
