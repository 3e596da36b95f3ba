"""Read a YAML file with the files that it includes. The including file is merged over the included ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from fasthep_parsl.errors import ConfigError, Problem
from fasthep_parsl.resources.units import describe
from fasthep_parsl.workflow.parse import load_file
from fasthep_parsl.workflow.yamldoc import Document, KeyPath, Node, merge, placed, problem

MOST_FILES, DEEPEST = 1000, 50
"""Most included files of a workflow, and most levels of includes."""


def load_document(path: Path, layer: str = "workflow") -> Document:
    """Read a YAML file and everything that it includes.

    Parameters
    ----------
    path : Path
        The file, as messages name it.
    layer : str
        Name of its layer.

    Returns
    -------
    Document
        Mappings are merged at every depth, lists are joined, all other values are those of the including file.

    Raises
    ------
    ConfigError
        A file cannot be read or is not YAML, or files include each other.
    """
    return _Loader(layer).load(path, ())


class _Loader:
    """Reads a file and the files that it includes, and limits their number."""

    def __init__(self, layer: str) -> None:
        self._layer = layer
        self._files = 0

    def load(self, path: Path, stack: tuple[Path, ...]) -> Document:
        """Return a document with what it includes; `stack` has the files that include it."""
        own = load_file(path, self._layer)
        stack = (*stack, path.resolve())
        rest = Node({k: v for k, v in own.root.value.items() if k != "include"}, own.root.where, None, self._layer)
        merged: Document | None = None
        problems: list[Problem] = []
        for at, target in _targets(own):
            if self._files > MOST_FILES:  # reported once
                break
            child = Path(target) if Path(target).is_absolute() else path.parent / target
            wrong = self._refused(child, target, stack)
            if wrong:
                problems.append(problem(own, at, "E108", *wrong))
                continue
            try:
                included = self.load(child, stack)
            except ConfigError as error:
                problems += [_placed(item, own, at) for item in error.problems]
                continue
            merged = included if merged is None else merge(merged, included, lists="join")
        if problems:
            raise ConfigError(*problems)
        local = replace(own, root=rest)
        return local if merged is None else merge(merged, local, lists="join")

    def _refused(self, child: Path, target: str, stack: tuple[Path, ...]) -> tuple[str, str] | None:
        """Return message and hint if a file cannot be included."""
        if child.resolve() in stack:
            circle = " → ".join(p.name for p in (*stack[stack.index(child.resolve()) :], child))
            return f"files include each other: {circle}", "remove one `include`"
        if not child.exists():
            return f"no such file: `{target}`", f"searched {stack[-1].parent}"
        self._files += 1
        if self._files > MOST_FILES or len(stack) > DEEPEST:
            return f"more than {MOST_FILES} included files, or more than {DEEPEST} levels", "include each file once"
        return None


def _placed(item: Problem, own: Document, at: KeyPath) -> Problem:
    """Return a problem of an included file. Without a place, it gets the place of the `include`."""
    return item if item.where is not None else replace(placed(item, own, at), code="E108")


def _targets(document: Document) -> list[tuple[tuple[str | int, ...], str]]:
    """Return (key path, file) of each file that `document` includes."""
    node = document.get(("include",))
    if node is None or node.value is None:
        return []
    if not isinstance(node.value, list):
        found = [(("include",), node)]
    else:
        found = [(("include", number), item) for number, item in enumerate(node.value)]  # type: ignore[misc]
    targets: list[tuple[tuple[str | int, ...], str]] = []
    for at, item in found:
        if not isinstance(item.value, str) or not item.value.strip():
            message = f"`include` must be a file or a list of files, got {describe(item.plain())}"
            raise ConfigError(problem(document, at, "E108", message, "write `include: [other.yaml]`"))
        targets.append((at, item.value.strip()))
    return targets
