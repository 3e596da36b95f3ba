"""A plan on a worker: load ops, validate parameters, wrap modifiers, call stages. Prepared once per worker."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from fasthep_parsl.analysis_code.data_files import hash_file
from fasthep_parsl.analysis_code.finder import edited
from fasthep_parsl.analysis_code.missing_modules import missing_module
from fasthep_parsl.analysis_code.modules import OpTable, line_of
from fasthep_parsl.analysis_code.software import check_software
from fasthep_parsl.errors import FastHepError, OpError
from fasthep_parsl.interfaces import Call, Context, DatasetInfo, Op
from fasthep_parsl.ops.columns.to_device import product_to_host
from fasthep_parsl.ops.products import joined
from fasthep_parsl.ops.stream import Events
from fasthep_parsl.plan import Plan, PlanSegment, PlanStage, substitutes
from fasthep_parsl.worker import trail
from fasthep_parsl.worker.calls import closed, guarded, place_of, unchanging
from fasthep_parsl.worker.dataset_params import params_by_dataset
from fasthep_parsl.worker.deadline import deadline
from fasthep_parsl.worker.meter import Meter
from fasthep_parsl.worker.modifiers import Modifiers
from fasthep_parsl.worker.notes import Notes
from fasthep_parsl.worker.output import caught
from fasthep_parsl.worker.parameter_files import ParameterFiles
from fasthep_parsl.worker.partials import load_products
from fasthep_parsl.worker.passes import Passes
from fasthep_parsl.worker.returned import split
from fasthep_parsl.worker.views import Views, concealed


class StageError(FastHepError):
    """A stage raised an error on some events. The cause is chained.

    Parameters
    ----------
    stage : str
        Id of the stage.
    module : str
        File of the user's module that defines its op, empty for built-ins.
    place : str
        ``file:line`` of its definition.
    """

    def __init__(self, stage: str, module: str, place: str = "") -> None:
        super().__init__(stage, module, place)
        self.stage, self.module, self.place = stage, module, place


@dataclass
class StageCall:
    """A stage, ready to be called."""

    stage: PlanStage
    op: Op
    call: Callable[..., Any]
    params: Mapping[int, BaseModel]
    module: str


class Program:
    """A plan on a worker.

    Parameters
    ----------
    plan : Plan
        The plan.
    run_dir : Path
        The run directory, with copies of the user's modules in ``code``.

    Attributes
    ----------
    notes : Notes
        Notes of modifiers about the current task.
    modifiers : Modifiers
        The modifiers of its stages.
    views : Views
        Its stages for each dataset.
    """

    def __init__(self, plan: Plan, run_dir: Path) -> None:
        self.plan = plan
        self.run_dir = run_dir
        self.datasets = tuple(
            DatasetInfo(d.name, d.eventtype, d.group, unchanging(d.meta), d.era) for d in plan.datasets
        )
        self._code = run_dir / "code"
        self._environment = plan.environment.kind if plan.environment is not None else ""
        _check_files(plan, self._code)
        check_software(plan)
        self._ops = OpTable(plan.modules, plan.code, self._code, self._environment)
        self._files = ParameterFiles(plan, self._code)
        self.views = Views(plan)
        self.notes = Notes()
        self.modifiers = Modifiers(plan, self.notes)
        self._steps: dict[int, list[StageCall]] = {}
        self._passes: dict[int, Passes] = {}
        self._products: dict[tuple[str, str], Any] = {}

    @property
    def is_current(self) -> bool:
        """Whether this process still imports the analysis code of this plan."""
        return self._ops.is_current

    def steps(self, segment: PlanSegment) -> list[StageCall]:
        """Return the steps of a segment in their order."""
        if segment.id not in self._steps:
            self._steps[segment.id] = [self._step(self.plan.stage(stage)) for stage in segment.stages]
        return self._steps[segment.id]

    def _step(self, stage: PlanStage) -> StageCall:
        op = self._ops.get(stage.op)
        params = params_by_dataset(stage, op, self.datasets, self._files.of(stage.id))
        module = self._ops.module(stage.op)
        return StageCall(stage, op, self._call(stage, op), params, Path(module.path).name if module else "")

    def _call(self, stage: PlanStage, op: Op) -> Callable[..., Any]:
        """Return the function that calls the op of a stage through its modifiers."""
        inner = self._inner(stage, op)
        if not stage.modifiers:
            return inner
        plain = inner if op.takes_events else lambda _events, **params: op.call(**params)

        call = Call(plain, op, stage.id, stage.pool, stage.reads, gpus=self.plan.pool(stage.pool).gpus)
        call = self.modifiers.wrap(call, stage)
        return call if op.takes_events else lambda **params: call(None, **params)

    def _inner(self, stage: PlanStage, op: Op) -> Callable[..., Any]:
        if not op.takes_events:
            return op.call
        if not op.built_in:
            return guarded(op, stage.reads)
        return concealed(op, stage.reads, self.views.hidden) if self.views.hidden else op.call

    def passes(self, segment: PlanSegment) -> Passes:
        """Return how the partitions of a segment are cut into passes."""
        if segment.id not in self._passes:
            self._passes[segment.id] = Passes(self.plan, segment)
        return self._passes[segment.id]

    def module(self, stage_id: str) -> str:
        """Return the name of the user's file that defines the op of a stage, empty for installed ones."""
        module = self._ops.module(self.plan.stage(stage_id).op)
        return Path(module.path).name if module else ""

    def merge(self, stage_id: str) -> Callable[[Any, Any], Any]:
        """Return the function that merges two products of a stage."""
        op = self._ops.get(self.plan.stage(stage_id).op)
        if op.merge is None and op.scope == "dataset":
            return lambda a, b: {**a, **b}  # one product per dataset, kept apart
        if op.merge is None:
            raise OpError(f"products of stage {stage_id} cannot be merged: op {op.name} has no merge")
        return op.merge

    def context(self, step: StageCall, dataset: int, partition: str) -> Context:
        """Return the context of a call: stage, datasets, partition, output folder and variations."""
        stage = step.stage
        outdir = self.run_dir / "results" / stage.id
        if stage.product and not (stage.nominal and step.op.built_in):
            outdir.mkdir(parents=True, exist_ok=True)
        pool = self.plan.pool(stage.pool)
        return Context(
            stage.id.removesuffix(f"@{stage.variation}"),
            self.datasets[dataset] if dataset >= 0 else DatasetInfo(""),
            self.datasets,
            partition,
            outdir,
            stage.variation,
            self.views.of(stage, dataset).weights,
            self.plan.apart,
            pool.cpus,
            pool.gpus,
        )

    def bound(self, step: StageCall, products: Mapping[str, str]) -> dict[str, Any]:
        """Return the products of other stages that are parameters of a step. Each file is read once."""
        found = {}
        for binding in step.stage.bind:
            key = (products[binding.node], binding.node)
            if key not in self._products:
                product = load_products(key[0])[binding.node]
                self._products[key] = closed(joined(product, substitutes(self.plan.variations)))
            found[binding.to] = self._products[key]
        return found

    def run(
        self, step: StageCall, events: Any, dataset: int, partition: str, products: Mapping[str, str], meter: Meter
    ) -> tuple[Events | None, Any]:
        """Call a step. Return its stream, None if it has no stream, and its product.

        Raises
        ------
        StageError
            The op raised an error. The cause is chained.
        MissingModuleError
            The op imports a module that the environment does not have.
        """
        given = step.params.get(dataset) or step.params[-1]
        params = given if step.op.built_in else copy.deepcopy(given)
        wall, cpu = time.perf_counter(), time.process_time()
        trail.at(step.stage.id)
        try:
            if step.stage.bind:
                params = params.model_copy(update=self.bound(step, products))
            keywords = step.op.keywords(params)
            if step.op.takes_context:
                keywords["context"] = self.context(step, dataset, partition)
            capture = caught(self.run_dir, step.stage.id) if step.op.foreign else nullcontext()
            with deadline(step.stage.timeout), capture:
                result = step.call(events, **keywords) if step.op.takes_events else step.call(**keywords)
            stream, product = split(step.op, step.stage, events, result)
            product = product_to_host(product)
        except ModuleNotFoundError as error:
            where = line_of(error, self.plan.code, self._code)
            place = f"`{Path(where.file).name}:{where.line}`" if where else f"op `{step.op.name}`"
            raise missing_module(error, f"stage `{step.stage.id}`: {place}", self._environment) from error
        except (Exception, SystemExit) as error:  # sys.exit() in an op must not end the worker
            raise StageError(step.stage.id, step.module, place_of(step.op)) from error
        finally:
            self.modifiers.after_stage(step.stage.id)
        counts = (len(events), len(stream) if stream is not None else 0) if isinstance(events, Events) else (0, 0)
        meter.add(step.stage.id, time.perf_counter() - wall, time.process_time() - cpu, *counts)
        return stream, product


def _check_files(plan: Plan, code: Path) -> None:
    """Refuse edited data files. A worker that cannot access the originals cannot use them, so they are not checked there."""
    copies = [(code / file.name, file.sha256) for file in plan.code if not file.module]
    for path, _ in copies:
        if not path.is_file():
            raise edited(path, "was removed")
    originals = [(Path(file.name), file.sha256) for file in plan.files]
    for path, planned in (*copies, *originals):
        if path.is_file() and hash_file(path) != planned:
            raise edited(path)


def program(path: str, plan_hash: str, run_dir: str, session: str = "") -> Program:
    """Return the plan in the file `path`. It is read once per worker.

    Parameters
    ----------
    path, plan_hash, run_dir : str
        The file, the hash of the plan in it, the run directory.
    session : str
        The execution of the plan. A resumed run has the same hash, but may have other places of files and time limits.

    Raises
    ------
    FastHepError
        The file contains a plan with another hash.
    """
    found = _program(path, plan_hash, run_dir, session)
    if not found.is_current:  # this process has run another plan since
        _program.cache_clear()
        found = _program(path, plan_hash, run_dir, session)
    return found


@lru_cache(maxsize=4)
def _program(path: str, plan_hash: str, run_dir: str, session: str) -> Program:
    del session
    plan = Plan.model_validate_json(Path(path).read_bytes())
    if plan.hash != plan_hash:
        raise FastHepError(f"{path} contains plan {plan.hash[:12]}, but this task belongs to plan {plan_hash[:12]}")
    return Program(plan, Path(run_dir))
