"""Find the ops of all stages and validate their parameters."""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from fasthep_parsl.analysis_code.modules import OpTable, activate, import_analysis_module, ops_of
from fasthep_parsl.analysis_code.software import identity
from fasthep_parsl.compiler.code import Code
from fasthep_parsl.compiler.parameter_files import FileFinder, StageFiles
from fasthep_parsl.compiler.stage_params import DatasetParams, StageCheck, check_params
from fasthep_parsl.errors import Checked, ConfigError, Problem
from fasthep_parsl.interfaces import Op, ParamPath
from fasthep_parsl.plan import PlanModule, PlanParameterFile, PlanWeight
from fasthep_parsl.workflow.datasets import facts_of
from fasthep_parsl.workflow.graph import order_stages
from fasthep_parsl.workflow.loader import LoadedWorkflow
from fasthep_parsl.workflow.stage_model import Stage
from fasthep_parsl.workflow.yamldoc import Document, KeyPath, placed, problem


@dataclass(frozen=True)
class CheckedStage:
    """A stage whose op exists and whose parameters are valid.

    Attributes
    ----------
    stage : Stage
        The stage as written.
    path : tuple
        Its key path in the document.
    op : Op
        Its op.
    params : BaseModel or None
        The validated parameters, without those bound to products; None if they are wrong.
    needs : tuple of str
        Stages that run before it.
    input : str
        Stage that it reads the stream of, empty for the source.
    module : str
        User module that defines the op, empty for installed ops.
    code : str
        Content hash of the op's code.
    files : tuple of PlanParameterFile
        The files that its parameters name, one for each parameter.
    base : tuple or None
        Key path of the value of its only parameter, if that is not in `params` of a stage: the selection of a region.
    datasets, nominal, region, variation, renames, outputs, weights
        As in `PlanStage`.
    each : mapping
        Dataset → parameters, if they contain facts of datasets. Then `params` is one of them.
    """

    stage: Stage
    path: KeyPath
    op: Op
    params: BaseModel | None
    needs: tuple[str, ...]
    input: str
    module: str
    code: str
    files: tuple[PlanParameterFile, ...] = ()
    base: KeyPath | None = None
    datasets: tuple[str, ...] | None = None
    nominal: str = ""
    region: str = ""
    variation: str = ""
    renames: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    weights: tuple[PlanWeight, ...] = ()
    each: Mapping[str, DatasetParams] = field(default_factory=dict)

    def params_of(self, dataset: str) -> BaseModel | None:
        """Return the validated parameters for a dataset."""
        return self.each[dataset].params if dataset in self.each else self.params

    def at(self, path: ParamPath = ()) -> KeyPath:
        """Return the key path of a parameter in the document."""
        return (*self.path, "params", *path) if self.base is None else (*self.base, *path[1:])


@dataclass(frozen=True)
class Stages:
    """The stages of a workflow.

    Attributes
    ----------
    items : tuple of CheckedStage
        The stages whose op is known, or can be guessed from a misspelt name.
    ordered : bool
        Whether they are in an order in which they can run. If not, the order is that of the file.
    """

    items: tuple[CheckedStage, ...]
    ordered: bool


def load_ops(loaded: LoadedWorkflow, code: Code) -> Checked[OpTable]:
    """Import analysis code. Return all ops, and what is wrong with the modules."""
    problems: list[Problem] = []
    good: list[PlanModule] = []
    owners: dict[str, str] = {}
    if code.files:
        activate(code.files)
    for module, place in zip(code.modules, code.keys, strict=True):
        try:
            names = ops_of(import_analysis_module(module.name, code.files))
        except ConfigError as error:
            problems += [item if item.where else placed(item, loaded.document, place) for item in error.problems]
            continue
        for name in names:
            if name in owners and not _is_same(name, owners[name], module.name):
                message = f"modules `{owners[name]}` and `{module.name}` both define the op `{name}`"
                problems.append(problem(loaded.document, place, "E112", message, "rename one of them"))
            owners.setdefault(name, module.name)
        good.append(module)
    return Checked(OpTable(good, code.files), tuple(problems))


def _is_same(op: str, *modules: str) -> bool:
    """Return whether modules have the same op because one imports it from the other."""
    return len({id(ops_of(sys.modules[name])[op]) for name in modules}) == 1


def check_stages(loaded: LoadedWorkflow, table: OpTable, *, complete: bool = True) -> Checked[Stages]:
    """Find the ops of all stages, validate their parameters, and order them.

    Parameters
    ----------
    loaded : LoadedWorkflow
        The workflow.
    table : OpTable
        All ops.
    complete : bool
        Whether all analysis code could be imported. If not, unknown ops are not reported.
    """
    document, stages = loaded.document, loaded.workflow.analysis.stages
    problems: list[Problem] = []
    ops: dict[int, Op] = {}
    params: dict[int, BaseModel | None] = {}
    each: dict[int, dict[str, DatasetParams]] = {}
    finder, files = FileFinder(document), dict[int, StageFiles]()
    datasets = facts_of(loaded.workflow)
    for index, stage in enumerate(stages):
        path: KeyPath = ("analysis", "stages", index)
        op = _find_op(stage, table, document, path)
        problems += op.problems if complete else ()
        if op.value is not None:
            ops[index] = op.value
            check = StageCheck(stage, op.value, document, path, StageFiles(finder, stage.id, (*path, "params")))
            valid = check_params(check, datasets)
            files[index], each[index], params[index] = check.files, valid.value.each, valid.value.params
            problems += valid.problems
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
            module_name(table, ops[index].name),
            code_hash(table, ops[index].name),
            files[index].found,
            each=each[index],
        )
        for index, needs, origin in places or [(index, (), "") for index in range(len(stages))]
        if index in ops
    ]
    return Checked(Stages(tuple(checked), bool(order.stages)), tuple(problems))


def _find_op(stage: Stage, table: OpTable, document: Document, path: KeyPath) -> Checked[Op | None]:
    """Return the op of a stage; for a misspelt name the most similar op, so that the parameters are checked too."""
    try:
        return Checked(table.get(stage.op))
    except ConfigError as error:
        close = difflib.get_close_matches(stage.op, table.names(), n=1, cutoff=0.8)
        op = table.get(close[0]) if close else None
        return Checked(op, tuple(placed(item, document, (*path, "op")) for item in error.problems))


def module_name(table: OpTable, op: str) -> str:
    """Return the user module that defines an op, empty for installed ops."""
    module = table.module(op)
    return module.name if module else ""


def code_hash(table: OpTable, op: str) -> str:
    """Return a hash of the code of an op, or what identifies the software that has it."""
    module = table.module(op)
    if module is not None:
        return module.sha256
    name = package_of(table.get(op).call)
    return f"{name} {identity(name)}" if name else ""


def package_of(item: Any) -> str:
    """Return the top-level module that defines `item`, empty if it is unknown."""
    module = inspect.getmodule(item)
    return module.__name__.split(".")[0] if module else ""
