"""Grant the pools of a workflow and find the pool of each stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fasthep_parsl.compiler.grants import Facility, Grant
from fasthep_parsl.compiler.stages import CheckedStage
from fasthep_parsl.errors import Advice, Checked, Problem
from fasthep_parsl.plan import PlanPool
from fasthep_parsl.pools.model import DEFAULT, Pool, build_pools
from fasthep_parsl.pools.routing import Route, route
from fasthep_parsl.resources.units import format_memory
from fasthep_parsl.workflow.yamldoc import problem


@dataclass(frozen=True)
class Routing:
    """The pools of a workflow, and the pool of each stage.

    Attributes
    ----------
    facility : Facility
        The site that grants pools.
    routes : dict
        Stage → route.
    wanted : dict
        Name → pool as described.
    grants : dict
        Name → grant, for the pools that the site provides.
    """

    facility: Facility
    routes: dict[str, Route] = field(default_factory=dict)
    wanted: dict[str, Pool] = field(default_factory=dict)
    grants: dict[str, Grant] = field(default_factory=dict)

    @property
    def pools(self) -> tuple[PlanPool, ...]:
        """All pools that the site provides."""
        return tuple(grant.pool for grant in self.grants.values() if grant.pool is not None)

    @property
    def pool_of(self) -> dict[str, str]:
        """Stage → name of its pool, for the stages that have one."""
        return {stage: answer.pool for stage, answer in self.routes.items()}

    def planned(self, tasks: Mapping[str, int]) -> tuple[tuple[PlanPool, ...], tuple[str, ...]]:
        """Return the pools with no more workers than tasks, and warnings.

        Parameters
        ----------
        tasks : mapping
            Pool → the most tasks that it can have at once; other pools are not used.
        """
        pools: list[PlanPool] = []
        warnings = [answer.warning for answer in self.routes.values() if answer.warning]
        for name, grant in self.grants.items():
            if grant.pool is None:
                continue
            fitted = self.facility.with_workers(self.wanted[name], grant.pool, max(tasks.get(name, 1), 1))
            pool = fitted.pool or grant.pool
            reduced = fitted.warnings if self.facility.batch and pool is not grant.pool else grant.warnings
            pools.append(pool.model_copy(update={"used": name in tasks, "warnings": reduced}))
            warnings += reduced if name in tasks else ()
        return tuple(pools), (*warnings, *self._crowded(pools))

    def _crowded(self, pools: list[PlanPool]) -> list[str]:
        """Warn of pools that share a queue with too few jobs for all their blocks."""
        warnings = []
        for name, queue in self.facility.execution.queues.items():
            mine = [pool for pool in pools if pool.used and pool.block and pool.block.queue == name]
            blocks = sum(pool.blocks for pool in mine)
            if len(mine) > 1 and queue.max_blocks is not None and blocks > queue.max_blocks:
                names = ", ".join(f"`{pool.name}`" for pool in mine)
                warnings.append(
                    f"pools {names} may need {blocks} jobs in queue `{name}`, which allows {queue.max_blocks}; "
                    "some jobs wait until others end"
                )
        return warnings


def route_stages(facility: Facility, stages: Sequence[CheckedStage]) -> Checked[Routing]:
    """Grant the pools and find the pool of each stage.

    Parameters
    ----------
    facility : Facility
        The site.
    stages : sequence of CheckedStage
        The stages.
    """
    loaded = facility.loaded
    execution = loaded.workflow.execution
    pools = build_pools(execution, loaded.document)
    problems = list(pools.problems)
    grants = {pool.name: facility.grant(pool) for pool in pools.value}
    routing = Routing(
        facility,
        wanted={pool.name: pool for pool in pools.value},
        grants={name: grant for name, grant in grants.items() if grant.pool is not None},
    )
    unavailable = {name: grant.reason for name, grant in grants.items() if grant.reason and grant.fallback}
    problems += [grant.refusal for grant in grants.values() if grant.refusal and grant.refusal.code == "E148"]
    for item in stages:
        answer = route(
            item.stage.id,
            item.stage.execution,
            execution,
            pools.value,
            unavailable,
            document=loaded.document,
            path=item.path,
        )
        if isinstance(answer, Route):
            routing.routes[item.stage.id] = answer
            refusal = grants[answer.pool].refusal
            problems += [refusal] if refusal else []
        else:
            problems += _causes(item, answer, routing, grants) or [answer]
    if not problems:
        problems += _too_few_ports(routing, stages)
    return Checked(routing, tuple(problems))


def _causes(item: CheckedStage, answer: Problem, routing: Routing, grants: Mapping[str, Grant]) -> list[Problem]:
    """Return the mistakes in pools that leave a stage without a pool."""
    wants = item.stage.execution
    labels = [label for label in (wants.require, wants.prefer, wants.fallback) if label]
    labels += [] if wants.require else [DEFAULT]
    if answer.code != "E141":
        return []
    return [
        refusal
        for pool in routing.wanted.values()
        if any(pool.offers(label) for label in labels)
        and (refusal := grants[pool.name].refusal)
        and refusal.code == "E144"
    ]


def _too_few_ports(routing: Routing, stages: Sequence[CheckedStage]) -> list[Problem]:
    """Refuse more pools than ports. The workers of each pool connect to a port of their own."""
    facility = routing.facility
    ports = facility.execution.network.ports
    used = {answer.pool: None for answer in routing.routes.values()}
    if not facility.batch or ports is None or len(used) <= ports[1] - ports[0] + 1:
        return []
    count = ports[1] - ports[0] + 1
    there = f"one port, {ports[0]}" if count == 1 else f"{count} ports, {ports[0]}-{ports[1]}"
    message = f"{len(used)} pools ({', '.join(used)}) need a port each, but workers can reach only {there}"
    target = DEFAULT if DEFAULT in used else next(iter(used))
    moved = [item.stage.id for item in stages if routing.routes[item.stage.id].pool != target]
    settings = [f"stages[{name}].execution.require={target}" for name in moved]
    settings.append(f"pools.{target}.resources={_largest(routing, used)}")
    text = "use one pool: `{settings}`, or run on a machine with more ports that workers can reach (`network.ports`)"
    hint = Advice(text, tuple(settings))
    return [problem(facility.loaded.document, ("execution", "network", "ports"), "E145", message, hint)]


def _largest(routing: Routing, names: Mapping[str, None]) -> str:
    """Return resources that are enough for the stages of all these pools, as YAML."""
    wants = [routing.wanted[name].resource for name in names]
    parts = [f"cpus: {max(r.cpus for r in wants)}", f"memory: {format_memory(max(r.memory for r in wants))}"]
    gpus, disk = max(r.gpus for r in wants), max(r.disk or 0 for r in wants)
    walltime = max(r.walltime or 0.0 for r in wants)
    parts += [f"gpus: {gpus}"] if gpus else []
    parts += [f"disk: {format_memory(disk)}"] if disk else []
    parts += [f"walltime: {round(walltime)}"] if walltime else []
    return f"{{{', '.join(parts)}}}"
