"""Scaling of a local pool: the parameters with which the scaling policy keeps blocks on this machine."""

from __future__ import annotations

import math

from fasthep_parsl.blocks.backoff import Limits
from fasthep_parsl.blocks.scaling_policy import ScalingPolicy
from fasthep_parsl.plan import PlanPool, PlanScaling

LOCAL_SCALING = PlanScaling(
    min_blocks=1,
    idle=math.inf,  # later stages do not wait for workers
    start=120.0,  # a `worker_init` may be slow
    poll=0.0,  # a look at a process costs nothing
    submissions_per_minute=20,
)
"""Blocks start at once and stay, and their end is noticed at once."""

LOCAL_LIMITS = Limits(first_wait=0.5, longest_wait=30.0, fatal_deadline=True, failures=10, losses=40)
"""There is no other node: if blocks fail here again and again, waiting does not help."""


def policy_of(pool: PlanPool) -> ScalingPolicy:
    """Return the scaling policy of a pool, of a batch system or local."""
    if pool.block is not None:
        return ScalingPolicy(pool)
    scaling = LOCAL_SCALING.model_copy(update={"min_blocks": pool.blocks})
    return ScalingPolicy(pool.model_copy(update={"scaling": scaling}), limits=LOCAL_LIMITS)
