"""Reduce a pool to the size of one machine, with a warning for each quantity. GPUs are never reduced. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from fasthep_parsl.plan import PlanPool
from fasthep_parsl.pools.model import Pool
from fasthep_parsl.resources.machine import Machine
from fasthep_parsl.resources.units import format_memory


@dataclass(frozen=True, slots=True)
class Clamped:
    """A pool that fits a machine.

    Attributes
    ----------
    pool : PlanPool or None
        The pool; None if the machine cannot provide it.
    warnings : tuple of str
        Quantities that were reduced.
    reason : str
        Why the machine cannot provide it.
    """

    pool: PlanPool | None
    warnings: tuple[str, ...] = ()
    reason: str = ""


def clamp(pool: Pool, machine: Machine) -> Clamped:
    """Return `pool` with quantities that `machine` has.

    Cores and memory per worker are limited to those of the machine, then the number of workers to those that fit, at
    least one. A pool with more GPUs per worker than the machine is refused.

    Parameters
    ----------
    pool : Pool
        The pool as described. `workers` None (`auto`) becomes as many as fit, without a warning.
    machine : Machine
        The machine.
    """
    wants = pool.resource
    if wants.gpus > machine.gpus:
        has = f"this machine has {machine.gpus or 'no'} GPU" + ("s" if machine.gpus > 1 else "")
        return Clamped(None, reason=f"{has}, the pool asks for {wants.gpus} per worker")
    reduced: list[str] = []
    cpus = min(wants.cpus, machine.cpus)
    if cpus < wants.cpus:
        reduced.append(f"{wants.cpus} → {cpus} cpus per worker (this machine has {machine.cpus})")
    memory = min(wants.memory, machine.memory)
    if memory < wants.memory:
        reduced.append(
            f"{format_memory(wants.memory)} → {format_memory(memory)} of memory per worker (all that this machine has)"
        )
    limits = {
        f"{machine.cpus} cpus": machine.cpus // cpus,
        f"{format_memory(machine.memory)} of memory": machine.memory // memory,
    }
    if wants.gpus:
        limits[f"{machine.gpus} GPUs"] = machine.gpus // wants.gpus * pool.workers_per_gpu
    tightest = min(limits, key=lambda name: limits[name])
    fits = max(limits[tightest], 1)
    workers = fits if pool.workers is None else min(pool.workers, fits)
    if pool.workers is not None and workers < pool.workers:
        reduced.append(f"{pool.workers} → {workers} workers ({tightest} have room for {fits})")
    granted = PlanPool(
        name=pool.name,
        workers=workers,
        cpus=cpus,
        memory=memory,
        gpus=wants.gpus,
        workers_per_gpu=pool.workers_per_gpu,
        disk=wants.disk,
        walltime=wants.walltime,
        resource=pool.resource_class,
    )
    return Clamped(granted, tuple(f"pool `{pool.name}`: {text}" for text in reduced))
