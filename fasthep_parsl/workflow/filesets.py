"""Files of a dataset as coffea's filesets write them: a mapping of places to trees, or to what is known about the files.

``missing.json`` of a run is such a fileset, with `replicas` for files in several places.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fasthep_parsl.errors import Problem
from fasthep_parsl.workflow.yamldoc import Document, KeyPath, Node, problem

_FIELDS = ("eventtype", "group")
"""Keys of `metadata` that are keys of a dataset."""


def respell_filesets(document: Document) -> tuple[Document, list[Problem]]:
    """Return `document` with filesets as lists of files, and what they contain that cannot be read.

    Parameters
    ----------
    document : Document
        A workflow whose datasets are a list.
    """
    problems: list[Problem] = []
    data = document.get(("data",))
    listed = document.get(("data", "datasets"))
    if data is None or listed is None or not isinstance(listed.value, list):
        return document, problems
    new = [
        _Fileset(document, ("data", "datasets", number), item, problems).respelled() if _is_fileset(item) else item
        for number, item in enumerate(listed.value)
    ]
    data = replace(data, value={**data.value, "datasets": replace(listed, value=new)})
    return replace(document, root=replace(document.root, value={**document.root.value, "data": data})), problems


def _is_fileset(dataset: Node) -> bool:
    files = dataset.child("files")
    if files is None or not isinstance(files.value, dict) or not files.value:
        return False
    return "any" not in files.value and not any(isinstance(item.value, list) for item in files.value.values())


class _Fileset:
    def __init__(self, document: Document, path: KeyPath, dataset: Node, problems: list[Problem]) -> None:
        self.document, self.path, self.dataset, self.problems = document, path, dataset, problems

    def respelled(self) -> Node:
        content = dict(self.dataset.value)
        files = content["files"]
        trees = {name: self._tree(item) for name, item in files.value.items()}
        known = {tree.value: tree for tree in trees.values() if tree is not None}
        if len(known) > 1:
            names = " and ".join(f"`{name}`" for name in list(known)[:2])
            self._refuse(
                ("files",), f"the files of a dataset have different trees, {names}", "write one dataset per tree"
            )
        elif known and "tree" not in content:
            content["tree"] = next(iter(known.values()))
        content["files"] = replace(files, value=[self._file(name, item) for name, item in files.value.items()])
        return replace(self.dataset, value=self._with_metadata(content))

    @staticmethod
    def _tree(item: Node) -> Node | None:
        found = item.child("object_path") if isinstance(item.value, dict) else item
        return found if found is not None and found.value is not None else None

    def _file(self, name: str, item: Node) -> Node:
        place = Node(name, item.key, None, item.layer)
        if not isinstance(item.value, dict):
            return place
        self._check_steps(name, item)
        replicas = item.child("replicas")
        if replicas is None or not replicas.value:
            return place
        return Node({"any": replicas}, item.key, None, item.layer)

    def _check_steps(self, name: str, item: Node) -> None:
        """Refuse steps that are not all events: the others would be read, too, and silently."""
        plain: Mapping[str, Any] = item.plain()
        steps, entries = plain.get("steps"), plain.get("num_entries")
        if not steps:
            return
        try:
            ordered = sorted((int(first), int(last)) for first, last in steps)
            edges = [0, *(last for _, last in ordered)]
            whole = [first for first, _ in ordered] == edges[:-1] and edges[-1] == entries
        except (TypeError, ValueError):
            self._refuse(("files", name, "steps"), "`steps` is not a list of [first, last]", "remove it")
            return
        if not whole:
            message = (
                f"`steps` are {sum(b - a for a, b in ordered):,} events of this file; only whole files can be read"
            )
            hint = "to resume a run processes what it has missed; without `steps` all events are read"
            self._refuse(("files", name, "steps"), message, hint)

    def _with_metadata(self, content: dict[str, Node]) -> dict[str, Node]:
        """Return a dataset with coffea's `metadata`, which is in `meta` now, as its own keys."""
        meta = content.get("meta")
        metadata = meta.child("metadata") if meta is not None else None
        if meta is None or metadata is None or not isinstance(metadata.value, dict):
            return content
        own = {key: node for key, node in metadata.value.items() if key in _FIELDS and key not in content}
        facts = {key: node for key, node in metadata.value.items() if key not in own}
        rest = {key: node for key, node in meta.value.items() if key != "metadata"}
        return {**content, **own, "meta": replace(meta, value={**facts, **rest})}

    def _refuse(self, path: KeyPath, message: str, hint: str) -> None:
        self.problems.append(problem(self.document, (*self.path, *path), "E138", message, hint))
