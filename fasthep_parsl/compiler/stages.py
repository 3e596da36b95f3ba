"""Stages with their ops found and their parameters validated."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError, create_model

from fasthep_parsl import __version__, registry
from fasthep_parsl.errors import ConfigError, Problem, suggest
from fasthep_parsl.interfaces import Op
from fasthep_parsl.plan import PlanModule
from fasthep_parsl.worker.code import OpTable, describe
from fasthep_parsl.workflow.graph import order_stages
from fasthep_parsl.workflow.loader import LoadedWorkflow
from fasthep_parsl.workflow.model import Stage
from fasthep_parsl.workflow.translate import problems_of
from fasthep_parsl.workflow.yamldoc import Document, Path_, problem


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
    params : BaseModel
        The validated parameters (without those that are bound to products).
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
    path: Path_
    op: Op
    params: BaseModel
    needs: tuple[str, ...]
    input: str
    module: str
    code: str


def find_modules(loaded: LoadedWorkflow) -> tuple[tuple[PlanModule, ...], list[Problem]]:
    """Find the files of ``use.modules``, relative to the workflow file."""
    found: list[PlanModule] = []
    problems: list[Problem] = []
    for index, name in enumerate(loaded.workflow.use.modules):
        key: Path_ = ("use", "modules", index)
        where = loaded.document.marks.value(key)
        base = Path(where.file).parent if where is not None and where.file else loaded.path.parent
        path = (base / name).resolve()
        if not path.is_file():
            beside = [item.name for item in path.parent.glob("*.py")] if path.parent.is_dir() else []
            hint = suggest(path.name, beside, what="modules beside it")
            problems.append(problem(loaded.document, key, "E112", f"no analysis module `{name}`", hint))
        elif path.suffix != ".py" or not path.stem.isidentifier():
            message = f"`{name}` cannot be imported"
            problems.append(problem(loaded.document, key, "E112", message, "name it like `my_ops.py`"))
        else:
            found.append(describe(path))
    return tuple(found), problems


def check_stages(loaded: LoadedWorkflow, table: OpTable) -> tuple[list[CheckedStage], list[Problem]]:
    """Find ops, validate parameters and order the stages; all problems are returned."""
    document, stages = loaded.document, loaded.workflow.analysis.stages
    problems: list[Problem] = []
    ops: dict[str, Op] = {}
    params: dict[str, BaseModel] = {}
    for index, stage in enumerate(stages):
        path: Path_ = ("analysis", "stages", index)
        try:
            op = ops[stage.id] = table.get(stage.op)
        except ConfigError as error:
            first = error.problems[0]
            problems.append(problem(document, (*path, "op"), first.code, first.message, first.hint))
            continue
        problems += _check_modifiers(stage, document, path)
        bound = {item.to for item in stage.inputs}
        problems += _check_bindings(stage, op, document, path)
        try:
            params[stage.id] = _model(op, bound).model_validate(
                {k: v for k, v in stage.params.items() if k not in bound}
            )
        except ValidationError as error:
            problems += problems_of(error, op.params, document, (*path, "params"))
    if len(ops) < len(stages):  # the order cannot be told without knowing what stages yield
        return [], problems
    order = order_stages(stages, ops, document)
    problems += order.problems
    checked = [
        CheckedStage(
            item.stage,
            ("analysis", "stages", item.index),
            ops[item.stage.id],
            params[item.stage.id],
            item.needs,
            item.input,
            _module_name(table, item.stage.op),
            _code_hash(table, item.stage.op),
        )
        for item in order.stages
        if item.stage.id in params
    ]
    return checked, problems


def _model(op: Op, bound: set[str]) -> type[BaseModel]:
    """Return the parameter model without parameters that come from other stages."""
    if not bound:
        return op.params
    unbound: dict[str, Any] = dict.fromkeys(bound, (Any, None))
    return create_model(op.params.__name__, __base__=op.params, **unbound)


def _check_bindings(stage: Stage, op: Op, document: Document, path: Path_) -> list[Problem]:
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


def _check_modifiers(stage: Stage, document: Document, path: Path_) -> list[Problem]:
    known = registry.names("modifiers")
    return [
        problem(
            document,
            (*path, "execution", "modifiers", number),
            "E110",
            f"unknown modifier `{modifier.kind}`",
            suggest(modifier.kind, known, what="modifiers"),
        )
        for number, modifier in enumerate(stage.execution.modifiers)
        if modifier.kind not in known
    ]


def _module_name(table: OpTable, op: str) -> str:
    module = table.module(op)
    return module.name if module else ""


def _code_hash(table: OpTable, op: str) -> str:
    module = table.module(op)
    if module is not None:
        return module.sha256
    package = inspect.getmodule(table.get(op).call)
    name = package.__name__.split(".")[0] if package else ""
    return f"{name} {__version__}" if name == "fasthep_parsl" else name
