"""Selections: the parameter `selection` of ``hep.select``, ``hep.selection.flag`` and ``hep.selection.cutflow``.

::

    selection: ["nMuon >= 2", {expr: "MET_pt > 30", label: MET}]       # a list: all of them
    selection: {All: [...]}   selection: {Any: [...]}                  # may be nested: {All: ["a > 1", {Any: [...]}]}
    selection: {presel: [...], tight: {cuts: [...], from: "presel[0]"}}  # named lists; `from` starts after a cut

A step is an expression, ``{expr, label}``, ``{reduce: {op: any|all, over}, label}`` or ``{All|Any: [...]}``. It gives one
bool per event. Missing values count as false.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import WithJsonSchema

from fasthep_parsl.errors import Hint, OpError, suggest
from fasthep_parsl.interfaces import UNKNOWN, Context, OpProblem, ParamPath, Schema
from fasthep_parsl.ops import device
from fasthep_parsl.ops.arrays import ak, np
from fasthep_parsl.ops.columns.value_types import Jagged, Masked
from fasthep_parsl.ops.expressions import ExpressionError, analyse_expression, expression
from fasthep_parsl.ops.stream import Events

Mode = Literal["all", "any"]
_MODES: dict[str, Mode] = {"All": "all", "Any": "any"}
_STEP_KEYS = ("expr", "reduce", "All", "Any", "label")
_PARENTS = ("parents", "from", "parent")

SelectionParam = Annotated[
    Any,
    WithJsonSchema(
        {
            "description": "expressions that must hold: a list, {All: […]}, {Any: […]}, or named lists",
            "anyOf": [{"type": "string"}, {"type": "array", "minItems": 1}, {"type": "object", "minProperties": 1}],
        }
    ),
]
"""Type of the parameter `selection`. `read_selection` checks it and reports the key path of each problem."""


@dataclass(frozen=True, slots=True)
class SelectionStep:
    """One condition: an expression, or several conditions combined by `mode`.

    Attributes
    ----------
    text : str
        Expression of one bool per event. Empty if there are `parts`.
    label : str
        Label in tables.
    path : tuple
        Key path in the parameters of the op.
    parts : tuple of SelectionStep
        Conditions that are combined.
    mode : "all" or "any"
        How `parts` are combined.
    """

    text: str
    label: str
    path: ParamPath
    parts: tuple[SelectionStep, ...] = ()
    mode: Mode = "all"


@dataclass(frozen=True, slots=True)
class Group:
    """A named list of steps. `parents` are cuts (``name[i]``) or groups that must be passed before."""

    name: str
    steps: tuple[SelectionStep, ...]
    mode: Mode = "all"
    parents: tuple[str, ...] = ()
    path: ParamPath = ()


class _SelectionReader:
    """Parses the parameter `selection` and collects its problems."""

    def __init__(self) -> None:
        self.problems: list[OpProblem] = []

    def add_problem(self, path: ParamPath, message: str, hint: Hint = "") -> None:
        self.problems.append(OpProblem(path, message, hint))

    def groups(self, raw: Any, path: ParamPath) -> tuple[Group, ...]:
        if isinstance(raw, str | list | tuple) or (isinstance(raw, dict) and ("expr" in raw or "reduce" in raw)):
            items = raw if isinstance(raw, list | tuple) else [raw]
            at = path if isinstance(raw, list | tuple) else None
            steps = self.steps(items, path) if at else self.single(raw, path)
            return (Group("All", steps, path=path),)
        if not isinstance(raw, dict) or not raw:
            self.add_problem(path, "a selection must be a list of expressions or a mapping", 'e.g. ["nMuon >= 2"]')
            return ()
        known: list[str] = []
        found = []
        for name, value in raw.items():
            group = self.group(str(name), value, (*path, name))
            for parent in group.parents:
                if parent not in known:
                    hint = suggest(parent, known, what="defined before")
                    self.add_problem(
                        group.path, f"`{group.name}` starts from `{parent}`, which is not defined before it", hint
                    )
            known += [group.name, *(f"{group.name}[{i}]" for i in range(len(group.steps)))]
            found.append(group)
        return tuple(found)

    def group(self, name: str, raw: Any, path: ParamPath) -> Group:
        default: Mode = _MODES.get(name, "all")
        if isinstance(raw, str):
            return Group(name, self.single(raw, path), default, path=path)
        if isinstance(raw, list | tuple):
            return Group(name, self.steps(raw, path), default, path=path)
        if not isinstance(raw, dict):
            self.add_problem(path, f"`{name}` must be a list of expressions")
            return Group(name, (), path=path)
        if "expr" in raw or "reduce" in raw:
            return Group(name, self.single(raw, path), default, path=path)
        return self.mapping(name, raw, default, path)

    def mapping(self, name: str, raw: dict[Any, Any], mode: Mode, path: ParamPath) -> Group:
        lists = [key for key in ("steps", "cuts", *_MODES) if key in raw]
        for key in raw:
            if key not in ("steps", "cuts", *_MODES, *_PARENTS):
                hint = suggest(str(key), ("steps", "cuts", *_MODES, *_PARENTS), what="allowed")
                self.add_problem((*path, key), f"unknown key `{key}` in selection `{name}`", hint)
        if len(lists) != 1:
            self.add_problem(path, f"selection `{name}` needs exactly one of `steps`, `cuts`, `All`, `Any`")
            return Group(name, (), path=path)
        parents = next((raw[key] for key in _PARENTS if raw.get(key)), ())
        parents = (parents,) if isinstance(parents, str) else tuple(map(str, parents))
        items = raw[lists[0]]
        if not isinstance(items, list | tuple):
            self.add_problem((*path, lists[0]), f"`{lists[0]}` must be a list of expressions")
            items = ["True"]
        return Group(name, self.steps(items, (*path, lists[0])), _MODES.get(lists[0], mode), parents, path)

    def steps(self, raw: list[Any] | tuple[Any, ...], path: ParamPath) -> tuple[SelectionStep, ...]:
        if not raw:
            self.add_problem(path, "the list of expressions is empty", "give at least one expression")
        return tuple(step for i, item in enumerate(raw) for step in self.single(item, (*path, i)))

    def single(self, raw: Any, path: ParamPath) -> tuple[SelectionStep, ...]:
        """Return one step, or nothing if it is invalid."""
        if isinstance(raw, str | bool):
            return (SelectionStep(str(raw), str(raw), path),)
        if not isinstance(raw, dict):
            self.add_problem(path, f"a step must be an expression or a mapping, not `{raw}`")
            return ()
        unknown = [key for key in raw if key not in _STEP_KEYS]
        for key in unknown:
            hint = suggest(str(key), _STEP_KEYS, what="allowed")
            self.add_problem((*path, key), f"unknown key `{key}` in a step", hint)
        kinds = [key for key in _STEP_KEYS[:-1] if key in raw]
        if len(kinds) != 1 and not unknown:
            self.add_problem(path, "a step needs exactly one of `expr`, `reduce`, `All`, `Any`")
        return () if unknown or len(kinds) != 1 else self.of_kind(kinds[0], raw, path)

    def of_kind(self, kind: str, raw: dict[Any, Any], path: ParamPath) -> tuple[SelectionStep, ...]:
        value, label = raw[kind], str(raw.get("label") or "")
        if kind == "expr":
            return (SelectionStep(str(value), label or str(value), (*path, kind)),)
        if kind == "reduce":
            return self.reduce(value, label, (*path, kind))
        return self.nested(value, label, _MODES[kind], (*path, kind))

    def reduce(self, raw: Any, label: str, path: ParamPath) -> tuple[SelectionStep, ...]:
        if not isinstance(raw, dict) or set(raw) != {"op", "over"} or raw["op"] not in ("any", "all"):
            self.add_problem(
                path, "`reduce` needs `op` (any or all) and `over`", 'e.g. reduce: {op: any, over: "Muon_pt > 25"}'
            )
            return ()
        text = f"{raw['op']}({raw['over']})"
        return (SelectionStep(text, label or text, (*path, "over")),)

    def nested(self, raw: Any, label: str, mode: Mode, path: ParamPath) -> tuple[SelectionStep, ...]:
        if not isinstance(raw, list | tuple):
            self.add_problem(path, "`All` and `Any` need a list of steps")
            return ()
        parts = self.steps(raw, path)
        text = label or f"{mode}({', '.join(part.label for part in parts)})"
        return (SelectionStep("", text, path, parts, mode),)


def read_selection(raw: Any, path: ParamPath = ("selection",)) -> tuple[tuple[Group, ...], list[OpProblem]]:
    """Return the groups of a selection, and the problems of its form."""
    reader = _SelectionReader()
    return reader.groups(raw, path), reader.problems


def analyse_selection(
    raw: Any, schema: Schema, path: ParamPath = ("selection",)
) -> tuple[dict[str, ParamPath], tuple[Group, ...], list[OpProblem]]:
    """Return the fields that a selection reads, its groups, and its problems for `schema`."""
    groups, problems = read_selection(raw, path)
    reads: dict[str, ParamPath] = {}
    for step in (leaf for group in groups for top in group.steps for leaf in _leaves(top)):
        found, shape, wrong = analyse_expression(step.text, step.path, schema)
        reads = {**found, **reads}
        problems += wrong
        if not wrong and shape not in ((), UNKNOWN):
            message = f"`{step.text}` has one value per object ({shape[-1]}), but a selection needs one per event"
            problems.append(OpProblem(step.path, message, f"use any({step.text}) or all({step.text})"))
    return reads, groups, problems


def _leaves(step: SelectionStep) -> Iterator[SelectionStep]:
    if not step.parts and step.text:
        yield step
    for part in step.parts:
        yield from _leaves(part)


def step_mask(step: SelectionStep, events: Events, context: Context | None) -> Any:
    """Return which events pass `step`: bool, shape (events,). Missing values count as false.

    Raises
    ------
    OpError
        The result is not one bool per event.
    """
    if step.parts:
        masks = [step_mask(part, events, context) for part in step.parts]
        return device.all_of(masks) if step.mode == "all" else device.any_of(masks)
    try:
        value = expression(step.text).value(events, context)
    except ExpressionError as error:
        raise type(error)(f"in `{step.text}`: {error.message}", error.hint) from None
    if isinstance(value, Masked):
        value = value.values & value.valid if value.values.dtype == bool else value.values
    if isinstance(value, bool | np.bool_):
        return np.full(len(events), bool(value))
    if isinstance(value, Jagged | ak.Array):
        raise OpError(
            f"`{step.text}` has one value per object, but a selection needs one per event: use any(…) or all(…)"
        )
    if getattr(value, "dtype", None) != bool:
        raise OpError(f"`{step.text}` is a number, but a selection needs true or false: compare it, e.g. != 0")
    return value


def selection_mask(raw: Any, events: Events, context: Context | None) -> Any:
    """Return which events pass all groups of a selection: bool, shape (events,)."""
    groups, problems = read_selection(raw)
    if problems:
        raise OpError("; ".join(f"{problem.message} ({problem.hint})" for problem in problems))
    masks = [mask for _, mask in group_masks(groups, events, context)]
    return device.all_of(masks)


def group_masks(groups: tuple[Group, ...], events: Events, context: Context | None) -> Iterator[tuple[Group, Any]]:
    """Yield each group with the mask of the events that pass it and its parents."""
    for group, _, rows in group_cuts(groups, events, context):
        yield group, rows[-1]


def group_cuts(
    groups: tuple[Group, ...], events: Events, context: Context | None
) -> Iterator[tuple[Group, Any, list[Any]]]:
    """Yield each group with the mask that it starts from and one mask per row of a cutflow.

    A list of cuts has one row per cut, applied after the cuts before it. `Any` has one row per alternative, each applied
    to the start, and a last row for events that pass at least one.
    """
    done: dict[str, Any] = {}
    all_events = np.ones(len(events), dtype=bool)
    for group in groups:
        starts = [done[parent] for parent in group.parents] or [all_events]
        base = device.all_of(starts)
        rows: list[Any] = []
        for step in group.steps:
            before = rows[-1] if rows and group.mode == "all" else base
            mask = step_mask(step, events, context)
            rows.append(mask if before is all_events else device.all_of([before, mask]))
        if group.mode == "any":
            rows.append(device.any_of(rows))
        done[group.name] = rows[-1]
        done.update({f"{group.name}[{i}]": row for i, row in enumerate(rows)})
        yield group, base, rows
