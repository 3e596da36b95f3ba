"""Grant pools on a site: a share of this machine, or blocks of a batch system."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any

from fasthep_parsl import registry
from fasthep_parsl.compiler.containers import check_container, container_of
from fasthep_parsl.compiler.geometry import plan_scaling, shape
from fasthep_parsl.compiler.queue_choice import Refusal
from fasthep_parsl.compiler.visibility import sees_run_directory
from fasthep_parsl.compiler.worker_setups import combined_setup
from fasthep_parsl.errors import Checked, Problem
from fasthep_parsl.interfaces import WorkerSetup
from fasthep_parsl.plan import PlanNetwork, PlanPool
from fasthep_parsl.pools.clamp import clamp
from fasthep_parsl.pools.model import Pool
from fasthep_parsl.resources.machine import Machine
from fasthep_parsl.sites import is_batch, strategy_options
from fasthep_parsl.workflow.execution_model import Execution
from fasthep_parsl.workflow.facility import Queue
from fasthep_parsl.workflow.loader import LoadedWorkflow
from fasthep_parsl.workflow.yamldoc import KeyPath, problem

UNKNOWN_MACHINE = Machine(cpus=10**6, memory=10**18, gpus=10**6)
"""An unknown machine: everything fits."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A pool as the site grants it.

    Attributes
    ----------
    pool : PlanPool or None
        The pool with the quantities of the site; None if the site cannot provide it.
    warnings : tuple of str
        Quantities that were reduced.
    reason : str
        Why the site cannot provide it.
    fallback : bool
        Whether stages may run on another pool instead. If not, the pool must be corrected.
    refusal : Problem or None
        The mistake in the pool.
    """

    pool: PlanPool | None
    warnings: tuple[str, ...] = ()
    reason: str = ""
    fallback: bool = True
    refusal: Problem | None = None


@dataclass(frozen=True)
class Facility:
    """A site that grants pools.

    Attributes
    ----------
    loaded : LoadedWorkflow
        The workflow with the site's layers.
    machine : Machine
        The machine that pools must fit into if workers are its processes.
    options : dict
        Queue → fields of the strategy.
    setup : WorkerSetup
        Worker setup of the environment and the credentials.
    batch : bool
        Whether workers are jobs of a batch system.
    """

    loaded: LoadedWorkflow
    machine: Machine
    options: dict[str, dict[str, Any]]
    setup: WorkerSetup
    batch: bool

    @property
    def execution(self) -> Execution:
        """Section ``execution`` of the workflow with the site's layers."""
        return self.loaded.workflow.execution

    def grant(self, pool: Pool) -> Grant:
        """Return a pool as the site can provide it."""
        if not self.batch:
            fitted = clamp(pool, self.machine)
            if fitted.pool is None:
                return Grant(None, reason=fitted.reason)
            scaling = plan_scaling(self.execution.scaling, 1)
            update = {"workers_per_block": fitted.pool.workers, "blocks": 1, "scaling": scaling}
            return Grant(self._described(fitted.pool.model_copy(update=update)), fitted.warnings)
        shaped = shape(pool, self._queues(), self.execution.scaling)
        if shaped.pool is not None:
            return Grant(self._described(shaped.pool), shaped.warnings)
        refusal = shaped.refusal
        if refusal is None:
            return Grant(None)
        return Grant(None, (), refusal.reason, refusal.fallback, self._problem(pool, refusal))

    def with_workers(self, pool: Pool, planned: PlanPool, workers: int) -> Grant:
        """Return a granted pool with at most `workers` workers, because there are no more tasks."""
        if workers >= planned.workers:
            return Grant(planned)
        if not self.batch:
            return Grant(planned.model_copy(update={"workers": workers, "workers_per_block": workers}))
        smaller = self.grant(replace(pool, workers=workers))
        if smaller.pool is None or smaller.pool.block is None:
            return smaller
        block = smaller.pool.block
        why = f"{workers} of {planned.workers} worker{'s' if planned.workers > 1 else ''}: there are no more tasks"
        block = block.model_copy(update={"why": (*block.why, why)})
        return replace(smaller, pool=smaller.pool.model_copy(update={"block": block}))

    def _queues(self) -> dict[str, Queue]:
        """Return the queues of the site; with one node per job if the strategy has no larger jobs."""
        queues = self.execution.queues
        if registry.load("strategies", self.execution.strategy.kind).several_nodes:
            return queues
        return {name: queue.model_copy(update={"min_nodes": 1, "max_nodes": 1}) for name, queue in queues.items()}

    def _described(self, pool: PlanPool) -> PlanPool:
        """Return the pool with the site's settings for all workers."""
        execution, network = self.execution, self.execution.network
        options = self.options.get(pool.block.queue if pool.block else "")
        return pool.model_copy(
            update={
                "provider": execution.strategy.kind,
                "options": options or {},
                "network": PlanNetwork(
                    address=network.address or "", interface=network.interface or "", ports=network.ports
                ),
                "worker_init": (*self.setup.worker_init, *execution.worker_init),
                "python": self.setup.python,
                "container": container_of(self.setup.container, execution, options),
                "files": self.setup.files,
                "secrets": self.setup.secrets,
                "batch_credentials": self.setup.batch_credentials,
                "scratch": execution.scratch or "",
                "shared": sees_run_directory(execution),
            }
        )

    def _problem(self, pool: Pool, refusal: Refusal) -> Problem:
        at: KeyPath = ("execution", "pools", pool.name, *refusal.key)
        if pool.resource_class and refusal.key[:1] == ("resources",):
            at = ("execution", "resources", pool.resource_class, *refusal.key[1:])
        message = f"pool `{pool.name}`: {refusal.reason}"
        return problem(self.loaded.document, at, refusal.code, message, refusal.hint, name=refusal.name)


def open_facility(
    loaded: LoadedWorkflow,
    machine: Machine | None,
    known: Iterable[Problem] = (),
    unused_credentials: Collection[int] = frozenset(),
) -> Checked[Facility]:
    """Return the site of a workflow, and the mistakes in its strategy, environment and credentials. Start nothing.

    Parameters
    ----------
    loaded : LoadedWorkflow
        The workflow with the site's layers.
    machine : Machine or None
        The machine that pools must fit into if workers are its processes; None: pools are granted as they are.
    known : iterable of Problem
        Problems reported already. A setting that the site asks its users for (E146) is not reported again.
    unused_credentials : collection of int
        Positions of credentials that the run does not use.
    """
    execution = loaded.workflow.execution
    options, problems = strategy_options(execution, loaded.document)
    setup, found = combined_setup(loaded, unused_credentials)
    found += check_container(loaded, setup.container, options)
    facility = Facility(loaded, machine or UNKNOWN_MACHINE, options, setup, is_batch(execution.strategy.kind))
    required = {item.key for item in known if item.code == "E146"}
    return Checked(facility, tuple(item for item in (*problems, *found) if item.key not in required))
