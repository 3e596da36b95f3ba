"""What a site grants of a pool: a share of this machine, or blocks of a batch system."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from fasthep_parsl import registry
from fasthep_parsl.compiler.geometry import plan_scaling, shape
from fasthep_parsl.compiler.queue_choice import Refusal
from fasthep_parsl.compiler.visibility import sees_run_directory
from fasthep_parsl.compiler.worker_setups import combined_setup
from fasthep_parsl.errors import Problem
from fasthep_parsl.interfaces import WorkerSetup
from fasthep_parsl.plan import PlanNetwork, PlanPool
from fasthep_parsl.pools.clamp import clamp
from fasthep_parsl.pools.model import Pool
from fasthep_parsl.resources.machine import Machine
from fasthep_parsl.sites import is_batch, strategy_options
from fasthep_parsl.workflow.facility import Queue
from fasthep_parsl.workflow.loader import LoadedWorkflow
from fasthep_parsl.workflow.model import Execution
from fasthep_parsl.workflow.yamldoc import KeyPath, problem

UNKNOWN_MACHINE = Machine(cpus=10**6, memory=10**18, gpus=10**6)
"""A machine of which nothing is known: everything fits."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A pool as the site grants it.

    Attributes
    ----------
    pool : PlanPool or None
        What can be had; None if nothing.
    warnings : tuple of str
        What was made smaller.
    reason : str
        Why it cannot be had, for stages that want it; empty if that is a mistake in the pool.
    refusal : Problem or None
        What is wrong with the pool.
    """

    pool: PlanPool | None
    warnings: tuple[str, ...] = ()
    reason: str = ""
    refusal: Problem | None = None


@dataclass(frozen=True)
class Facility:
    """A site as the compiler sees it: grants pools.

    Attributes
    ----------
    loaded : LoadedWorkflow
        The workflow with the site's layers.
    machine : Machine
        What pools are clamped to where workers are processes of this machine.
    options : dict
        Queue → fields of the strategy.
    setup : WorkerSetup
        Of the environment and the credentials.
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
        """What the workflow and the site say."""
        return self.loaded.workflow.execution

    def grant(self, pool: Pool) -> Grant:
        """Return what can be had of a pool."""
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
        return Grant(None, reason=refusal.reason, refusal=self._placed(pool, refusal))

    def with_workers(self, pool: Pool, planned: PlanPool, workers: int) -> Grant:
        """Return a granted pool with so many workers at most: there are no more tasks."""
        if workers >= planned.workers:
            return Grant(planned)
        if not self.batch:
            return Grant(planned.model_copy(update={"workers": workers, "workers_per_block": workers}))
        smaller = self.grant(replace(pool, workers=workers))
        if smaller.pool is None or smaller.pool.block is None:
            return smaller
        block = smaller.pool.block
        said = f"{workers} of {planned.workers} worker{'s' if planned.workers > 1 else ''}: there are no more tasks"
        block = block.model_copy(update={"why": (*block.why, said)})
        return replace(smaller, pool=smaller.pool.model_copy(update={"block": block}))

    def _queues(self) -> dict[str, Queue]:
        """Return the queues of the site; of one node per job where the batch system has no others."""
        queues = self.execution.queues
        if registry.load("strategies", self.execution.strategy.kind).several_nodes:
            return queues
        return {name: queue.model_copy(update={"min_nodes": 1, "max_nodes": 1}) for name, queue in queues.items()}

    def _described(self, pool: PlanPool) -> PlanPool:
        """Add what the site says of all its workers."""
        said, network = self.execution, self.execution.network
        queue = pool.block.queue if pool.block else ""
        return pool.model_copy(
            update={
                "provider": said.strategy.kind,
                "options": self.options.get(queue, {}),
                "network": PlanNetwork(
                    address=network.address or "", interface=network.interface or "", ports=network.ports
                ),
                "worker_init": (*self.setup.worker_init, *said.worker_init),
                "python": self.setup.python,
                "files": self.setup.files,
                "secrets": self.setup.secrets,
                "scratch": said.scratch or "",
                "shared": sees_run_directory(said),
            }
        )

    def _placed(self, pool: Pool, refusal: Refusal) -> Problem:
        at: KeyPath = ("execution", "pools", pool.name, *refusal.key)
        if pool.resource_class and refusal.key[:1] == ("resources",):
            at = ("execution", "resources", pool.resource_class, *refusal.key[1:])
        return problem(self.loaded.document, at, refusal.code, refusal.message, refusal.hint)


def open_facility(loaded: LoadedWorkflow, machine: Machine | None) -> tuple[Facility, list[Problem]]:
    """Return the site of a workflow, and what is wrong with its strategy, environment and credentials. Starts nothing.

    Parameters
    ----------
    loaded : LoadedWorkflow
        The workflow with the site's layers.
    machine : Machine or None
        What pools are clamped to where workers are processes of this machine; None leaves them as asked.
    """
    execution = loaded.workflow.execution
    options, problems = strategy_options(execution, loaded.document)
    setup, found = combined_setup(loaded)
    facility = Facility(loaded, machine or UNKNOWN_MACHINE, options, setup, is_batch(execution.strategy.kind))
    return facility, [*problems, *found]
