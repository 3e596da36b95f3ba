"""Pools as the site grants them, and the pool of each stage."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError

from fasthep_parsl import registry
from fasthep_parsl.compiler.stages import CheckedStage
from fasthep_parsl.errors import Problem, suggest
from fasthep_parsl.interfaces import Strategy
from fasthep_parsl.plan import PlanPool
from fasthep_parsl.pools.clamp import clamp
from fasthep_parsl.pools.model import build_pools
from fasthep_parsl.pools.routing import Route, route
from fasthep_parsl.resources.machine import Machine
from fasthep_parsl.workflow.loader import LoadedWorkflow
from fasthep_parsl.workflow.model import Kind
from fasthep_parsl.workflow.translate import problems_of
from fasthep_parsl.workflow.yamldoc import problem


@dataclass(frozen=True)
class Routing:
    """Where stages run.

    Attributes
    ----------
    pools : tuple of PlanPool
        All pools that can be had.
    routes : dict
        Stage → route.
    warnings : tuple of str
        What was made smaller or fell back.
    """

    pools: tuple[PlanPool, ...]
    routes: dict[str, Route]
    warnings: tuple[str, ...]


def make_strategy(kind: Kind, loaded: LoadedWorkflow) -> tuple[Strategy | None, list[Problem]]:
    """Build the strategy that the workflow or the site names."""
    key = ("execution", "strategy")
    if kind.kind not in registry.names("strategies"):
        hint = suggest(kind.kind, registry.names("strategies"), what="strategies")
        return None, [problem(loaded.document, key, "E110", f"unknown strategy `{kind.kind}`", hint)]
    model = registry.load("strategies", kind.kind)
    try:
        return model(**kind.params), []
    except ValidationError as error:
        return None, problems_of(error, model, loaded.document, key)


def route_stages(
    loaded: LoadedWorkflow, stages: list[CheckedStage], machine: Machine | None, strategy: Strategy | None
) -> tuple[Routing, list[Problem]]:
    """Grant pools and route all stages.

    Parameters
    ----------
    loaded : LoadedWorkflow
        The workflow with the site's layers.
    stages : list of CheckedStage
        In their order.
    machine : Machine or None
        What pools are clamped to; None leaves them as asked.
    strategy : Strategy or None
        Says how workers come to exist.
    """
    execution = loaded.workflow.execution
    wanted, found = build_pools(execution, loaded.document)
    problems = list(found)
    granted: dict[str, PlanPool] = {}
    unavailable: dict[str, str] = {}
    clamped_warnings: dict[str, tuple[str, ...]] = {}
    for pool in wanted:
        fitted = clamp(pool, machine or Machine(cpus=10**6, memory=10**18, gpus=10**6))
        if fitted.pool is None:
            unavailable[pool.name] = fitted.reason
        else:
            granted[pool.name] = fitted.pool
            clamped_warnings[pool.name] = fitted.warnings
    routes: dict[str, Route] = {}
    warnings: list[str] = []
    for item in stages:
        answer = route(
            item.stage.id,
            item.stage.execution,
            execution,
            wanted,
            unavailable,
            document=loaded.document,
            path=item.path,
        )
        if isinstance(answer, Route):
            routes[item.stage.id] = answer
            warnings += [answer.warning] if answer.warning else []
        else:
            problems.append(answer)
    used = {answer.pool for answer in routes.values()}
    for name in sorted(used):
        warnings += clamped_warnings.get(name, ())
    pools = tuple(_realise(pool, strategy, used) for pool in granted.values())
    return Routing(pools, routes, tuple(warnings)), problems


def _realise(pool: PlanPool, strategy: Strategy | None, used: set[str]) -> PlanPool:
    if strategy is None:
        return pool
    return pool.model_copy(update={"used": pool.name in used, "workers_per_block": pool.workers, "blocks": 1})
