"""Strategy ``local``: workers are processes of this machine."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from fasthep_parsl.interfaces import ProviderSpec, WorkerSetup
from fasthep_parsl.plan import PlanPool


class Local(BaseModel):
    """Workers on this machine: one block per pool, all of its workers in it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def workers(self, pool: PlanPool, setup: WorkerSetup) -> ProviderSpec:
        """Return what a backend needs to create the workers of `pool`.

        The options are those of Parsl's ``LocalProvider``. The block exists from the start: nothing is to be
        waited for on one's own machine, and an unused pool is not opened at all.
        """
        return ProviderSpec(
            kind="local",
            options={
                "init_blocks": 1,
                "min_blocks": 0,
                "max_blocks": 1,
                "nodes_per_block": 1,
                "parallelism": 1.0,
                "worker_init": "\n".join(setup.worker_init),
            },
            workers_per_block=pool.workers,
            blocks=1,
        )
