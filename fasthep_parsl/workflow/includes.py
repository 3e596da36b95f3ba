"""Follow ``include:``: included files come first, what includes them goes over them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from fasthep_parsl.errors import ConfigError, Problem
from fasthep_parsl.resources.units import describe
from fasthep_parsl.workflow.parse import load_file
from fasthep_parsl.workflow.yamldoc import Document, Node, merge, problem


def load_document(path: Path, layer: str = "workflow") -> Document:
    """Read a YAML file and all that it includes.

    Parameters
    ----------
    path : Path
        The file, as it shall be named in messages.
    layer : str
        Name of the layer that it sets.

    Returns
    -------
    Document
        Mappings merged at every depth, lists appended, everything else from the file that includes.

    Raises
    ------
    ConfigError
        A file cannot be read, is not YAML, or files include each other in a circle.
    """
    return _load(path, layer, ())


def _load(path: Path, layer: str, stack: tuple[Path, ...]) -> Document:
    own = load_file(path, layer)
    stack = (*stack, path.resolve())
    rest = Node({k: v for k, v in own.root.value.items() if k != "include"}, own.root.where, None, layer)
    merged: Document | None = None
    problems: list[Problem] = []
    for at, target in _targets(own):
        child = Path(target) if Path(target).is_absolute() else path.parent / target
        if child.resolve() in stack:
            circle = " → ".join(p.name for p in (*stack[stack.index(child.resolve()) :], child))
            problems.append(problem(own, at, "E108", f"files include each other: {circle}", "remove one `include`"))
            continue
        if not child.exists():
            problems.append(problem(own, at, "E108", f"no such file: `{target}`", f"looked in {path.parent}"))
            continue
        try:
            included = _load(child, layer, stack)
        except ConfigError as error:
            problems += error.problems
            continue
        merged = included if merged is None else merge(merged, included, lists="join")
    if problems:
        raise ConfigError(*problems)
    local = replace(own, root=rest)
    return local if merged is None else merge(merged, local, lists="join")


def _targets(document: Document) -> list[tuple[tuple[str | int, ...], str]]:
    """Return (where it stands, file) of everything that `document` includes."""
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
            message = f"`include` names a file or a list of files, got {describe(item.plain())}"
            raise ConfigError(problem(document, at, "E108", message, "write `include: [other.yaml]`"))
        targets.append((at, item.value.strip()))
    return targets
