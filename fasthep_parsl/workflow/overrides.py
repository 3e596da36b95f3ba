"""Apply settings of the command line (``--set pools.gpu.workers=4``), and resolve their key paths."""

from __future__ import annotations

import re
from dataclasses import replace

from fasthep_parsl.errors import Advice, ConfigError, Hint, Location, Problem, suggest
from fasthep_parsl.resources.model import Resource
from fasthep_parsl.workflow.execution_model import Execution
from fasthep_parsl.workflow.layers import KINDS, spelled
from fasthep_parsl.workflow.model import Workflow
from fasthep_parsl.workflow.parse import parse_value
from fasthep_parsl.workflow.yamldoc import Document, KeyPath, Node, show_path

LAYER = "--set"
_STEP = re.compile(r'(?:^|\.)(?:"([^"]+)"|([^."\[\]=]+))|\[([^\[\]]+)\]')


def split_key(text: str) -> tuple[str, ...]:
    """Return the steps of ``a.b[0]."c.d"`` as text.

    Raises
    ------
    ValueError
        Not a key path.
    """
    steps, at = [], 0
    while at < len(text):
        match = _STEP.match(text, at)
        if match is None:
            raise ValueError(text)
        steps.append(next(group for group in match.groups() if group is not None).strip())
        at = match.end()
    if not steps or not all(steps):
        raise ValueError(text)
    return tuple(steps)


def resolve_key(document: Document, text: str) -> KeyPath:
    """Return the key path in the workflow for a key on the command line.

    Parameters
    ----------
    document : Document
        The workflow.
    text : str
        ``execution.pools.gpu.workers``; ``execution.`` is optional. List items are given by number, or by ``id`` or
        ``name`` (``analysis.stages[Mass].params.axes[0]``). ``stages`` and ``datasets`` are short for
        ``analysis.stages`` and ``data.datasets``. Quantities of a pool need no ``resources``.

    Raises
    ------
    ConfigError
        The text is not a key path, the first step is unknown, or a list has no such item.
    """
    where = Location(f"{LAYER} {text}", 1, len(LAYER) + 2, max(len(text), 1))
    try:
        steps = split_key(text)
    except ValueError:
        raise ConfigError(Problem("E109", f"`{text}` is not a key", text, where, "write `pools.gpu.workers`")) from None
    return _resolve(document, steps, where)


def _resolve(document: Document, steps: tuple[str, ...], where: Location) -> KeyPath:
    short = {"stages": "analysis", "datasets": "data", **dict.fromkeys(Execution.model_fields, "execution")}
    if steps[0] in short:
        steps = (short[steps[0]], *steps)
    elif steps[0] not in Workflow.model_fields:
        hint = suggest(steps[0], {*short, *Workflow.model_fields}, what="keys")
        raise ConfigError(Problem("E109", f"unknown key `{steps[0]}`", ".".join(steps), where, hint, steps[0]))
    if steps[:2] == ("execution", "pools") and len(steps) == 4 and steps[3] in Resource.model_fields:
        steps = (*steps[:3], "resources", steps[3])
    path: KeyPath = ()
    for step in steps:
        here = document.get(path)
        path = (*path, _item(here, step, path, where) if here and isinstance(here.value, list) else step)
    return path


def _item(node: Node, step: str, path: KeyPath, where: Location) -> int:
    """Return the position of the list item `step`."""
    size = len(node.value)
    if re.fullmatch(r"-?\d+", step) and -size <= int(step) < size:
        return int(step) % size
    names: list[str] = []
    for number, item in enumerate(node.value):
        named = item.child("id") or item.child("name")
        names.append(str(named.value) if named else str(number))
    if step in names:
        return names.index(step)
    hint: Hint = suggest(step, names, what="items") if size else "the list is empty"
    raise ConfigError(Problem("E109", f"`{show_path(path)}` has no item `{step}`", show_path(path), where, hint, step))


def apply_override(document: Document, text: str) -> Document:
    """Return `document` with one setting ``key=value`` applied; `value` is read as YAML.

    Raises
    ------
    ConfigError
        There is no ``=``, the key is unknown, the value is not YAML, or the parent is not a mapping.
    """
    shown = f"{LAYER} {text}"
    start = len(LAYER) + 2
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        where = Location(shown, 1, start, max(len(text), 1))
        hint: Hint = Advice("write `{settings}`", ("pools.default.workers=4",))
        raise ConfigError(Problem("E109", f"`{text}` is not `key=value`", "", where, hint))
    key_at = Location(shown, 1, start, len(key))
    value_at = Location(shown, 1, start + len(key) + 1, max(len(value), 1))
    try:
        steps = split_key(key.strip())
    except ValueError:
        raise ConfigError(Problem("E109", f"`{key}` is not a key", "", key_at, "write `pools.gpu.workers`")) from None
    path = _resolve(document, steps, key_at)
    try:
        found = parse_value(value, value_at, LAYER)
    except ConfigError as error:
        message = f"the value of `{key}` is not YAML"
        hint = f"{error.problems[0].message}; put it in quotes"
        raise ConfigError(Problem("E109", message, show_path(path), value_at, hint)) from None
    if path in {("execution", kind) for kind in KINDS}:
        now = document.get((*path, "kind"))
        if now is not None and now.value == found.value:
            return document  # the fields of the kind stay
        found = spelled(found)
    return replace(document, root=_put(document.root, path, (), replace(found, key=key_at), key_at))


def _put(node: Node, path: KeyPath, done: KeyPath, value: Node, where: Location) -> Node:
    if not path:
        return value
    step, rest = path[0], path[1:]
    child = node.child(step) or Node({}, where, where, LAYER)
    if isinstance(node.value, list) and isinstance(step, int):
        items = list(node.value)
        items[step] = _put(child, rest, (*done, step), value, where)
        return replace(node, value=items)
    if node.value is None or isinstance(node.value, dict):
        return replace(node, value={**(node.value or {}), str(step): _put(child, rest, (*done, step), value, where)})
    message = f"cannot set `{step}`: `{show_path(done)}` is `{node.value}`, not a mapping"
    hint = f"set all of `{show_path(done)}`"
    if done[-1:] == ("resources",) and done[:2] == ("execution", "pools"):
        hint = f"the pool has the quantities of its class; set `resources.{node.value}.{step}`"
    elif len(done) == 2:
        hint = f"set `{done[-1]}.kind={node.value}` first"
    raise ConfigError(Problem("E109", message, show_path((*done, step)), where, hint))
