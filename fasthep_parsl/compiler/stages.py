"""Stages with their ops found and their parameters validated."""

from __future__ import annotations

import difflib
import inspect
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError, create_model

from fasthep_parsl.analysis_code.modules import OpTable, import_module, ops_of
from fasthep_parsl.analysis_code.software import identity
from fasthep_parsl.errors import ConfigError, Problem, suggest
from fasthep_parsl.interfaces import Op
from fasthep_parsl.plan import PlanModule
from fasthep_parsl.workflow.graph import order_stages
from fasthep_parsl.workflow.loader import LoadedWorkflow
from fasthep_parsl.workflow.model import Stage
from fasthep_parsl.workflow.translate import problems_of
from fasthep_parsl.workflow.yamldoc import Document, KeyPath, problem


@dataclass(frozen=True)
class CheckedStage:
    """A stage whose op exists and whose parameters are valid.

    Attributes
    ----------
    stage : Stage
        As written.
    path : tuple
        Its place in the document.
    op : Op
        Its operation.
    params : BaseModel or None
        The validated parameters (without those that are bound to products); None if they are wrong.
    needs : tuple of str
        Stages that come before.
    input : str
        Stage whose stream it reads, empty for the source's.
    module : str
        User module that defines the op, empty for installed ones.
    code : str
        Content hash of the op's code.
    """

    stage: Stage
    path: KeyPath
    op: Op
    params: BaseModel | None
    needs: tuple[str, ...]
    input: str
    module: str
    code: str


def load_ops(loaded: LoadedWorkflow, modules: tuple[PlanModule, ...]) -> tuple[OpTable, list[Problem]]:
    """Import analysis code; returns all ops that can be had, and what is wrong with the modules."""
    problems: list[Problem] = []
    good: list[PlanModule] = []
    owners: dict[str, str] = {}
    for index, module in enumerate(modules):
        place: KeyPath = ("use", "modules", index)
        try:
            names = ops_of(import_module(module))
        except ConfigError as error:
            for item in error.problems:
                placed = problem(loaded.document, place, item.code, item.message, item.hint)
                problems.append(item if item.where else placed)
            continue
        for name in names:
            if name in owners:
                message = f"`{owners[name]}` and `{module.name}` both define the op `{name}`"
                problems.append(problem(loaded.document, place, "E112", message, "rename one of them"))
            owners.setdefault(name, module.name)
        good.append(module)
    return OpTable(tuple(good)), problems


def check_stages(
    loaded: LoadedWorkflow, table: OpTable, *, complete: bool = True
) -> tuple[list[CheckedStage], list[Problem], bool]:
    """Find ops, validate parameters and order the stages; all problems are returned.

    Parameters
    ----------
    loaded : LoadedWorkflow
        The workflow.
    table : OpTable
        All ops.
    complete : bool
        Whether all analysis code could be imported; if not, unknown ops are not complained about.

    Returns
    -------
    list of CheckedStage
        In their order if it can be told, else in that of the file; stages whose op cannot be guessed are left out.
    list of Problem
    bool
        Whether the order of the stages is known.
    """
    document, stages = loaded.document, loaded.workflow.analysis.stages
    problems: list[Problem] = []
    ops: dict[int, Op] = {}
    params: dict[int, BaseModel | None] = {}
    for index, stage in enumerate(stages):
        path: KeyPath = ("analysis", "stages", index)
        op, found = _find_op(stage, table, document, path)
        problems += found if complete else []
        if op is not None:
            ops[index] = op
            params[index], found = _check_params(stage, op, document, path)
            problems += found
    order = order_stages(stages, {stages[index].id: op for index, op in ops.items()}, document)
    problems += order.problems
    places = [(item.index, item.needs, item.input) for item in order.stages]
    checked = [
        CheckedStage(
            stages[index],
            ("analysis", "stages", index),
            ops[index],
            params[index],
            needs,
            origin,
            _module_name(table, ops[index].name),
            _code_hash(table, ops[index].name),
        )
        for index, needs, origin in places or [(index, (), "") for index in range(len(stages))]
        if index in ops
    ]
    return checked, problems, bool(order.stages)


def _find_op(stage: Stage, table: OpTable, document: Document, path: KeyPath) -> tuple[Op | None, list[Problem]]:
    """Return the op of a stage; with a misspelt name the one that was meant, so that the rest is checked too."""
    try:
        return table.get(stage.op), []
    except ConfigError as error:
        first = error.problems[0]
        close = difflib.get_close_matches(stage.op, table.names(), n=1, cutoff=0.8)
        op = table.get(close[0]) if close else None
        return op, [problem(document, (*path, "op"), first.code, first.message, first.hint)]


def _check_params(stage: Stage, op: Op, document: Document, path: KeyPath) -> tuple[BaseModel | None, list[Problem]]:
    bound = {item.to for item in stage.inputs}
    problems = _check_bindings(stage, op, document, path)
    try:
        given = {key: value for key, value in stage.params.items() if key not in bound}
        return _model(op, bound).model_validate(given), problems
    except ValidationError as error:
        return None, problems + problems_of(error, op.params, document, (*path, "params"))


def _model(op: Op, bound: set[str]) -> type[BaseModel]:
    """Return the parameter model without parameters that come from other stages."""
    if not bound:
        return op.params
    unbound: dict[str, Any] = dict.fromkeys(bound, (Any, None))
    return create_model(op.params.__name__, __base__=op.params, **unbound)


def _check_bindings(stage: Stage, op: Op, document: Document, path: KeyPath) -> list[Problem]:
    problems = []
    for number, item in enumerate(stage.inputs):
        key = (*path, "from", number)
        if item.to not in op.params.model_fields:
            hint = suggest(item.to, op.params.model_fields, what="parameters")
            message = f"op `{op.name}` has no parameter `{item.to}`"
            problems.append(problem(document, (*key, "as"), "E111", message, hint))
        elif item.to in stage.params:
            message = f"parameter `{item.to}` is given twice: in `params` and by `from`"
            problems.append(problem(document, (*key, "as"), "E111", message, "remove one"))
    return problems


def _module_name(table: OpTable, op: str) -> str:
    module = table.module(op)
    return module.name if module else ""


def _code_hash(table: OpTable, op: str) -> str:
    module = table.module(op)
    if module is not None:
        return module.sha256
    name = package_of(table.get(op).call)
    return f"{name} {identity(name)}" if name else ""


def package_of(item: Any) -> str:
    """Return the top-level module that defines something, empty if that is not known."""
    module = inspect.getmodule(item)
    return module.__name__.split(".")[0] if module else ""
