"""Choose the blocks of a pool on a site: the size of a job, and the number of jobs. Pure.

A block is one job of the batch system. On shared nodes, a few jobs with several workers are better than many jobs with
one worker. Whole nodes are filled. If the site describes no queues, nothing is limited or checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fasthep_parsl.compiler.queue_choice import Choice, Refusal, choose_queue
from fasthep_parsl.plan import PlanBlock, PlanPool, PlanScaling
from fasthep_parsl.pools.model import Pool
from fasthep_parsl.resources.units import format_duration, format_memory
from fasthep_parsl.workflow.facility import Queue, Scaling

AUTO_BLOCKS = 2
"""Number of blocks of a pool with `workers: auto`, if the site sets no limit."""
DEFAULT_WALLTIME = 4 * 3600.0
"""Walltime in seconds, if neither the pool nor the queue sets one."""


@dataclass(frozen=True, slots=True)
class Shaped:
    """A pool with its blocks.

    Attributes
    ----------
    pool : PlanPool or None
        The pool with its block; None if the site cannot provide it.
    warnings : tuple of str
        Quantities that were reduced, and resources that are paid for but not used.
    refusal : Refusal or None
        Why the site cannot provide it.
    """

    pool: PlanPool | None
    warnings: tuple[str, ...] = ()
    refusal: Refusal | None = None


def shape(pool: Pool, queues: Mapping[str, Queue], scaling: Scaling) -> Shaped:
    """Return the blocks of `pool` on a site.

    Parameters
    ----------
    pool : Pool
        The pool as described. `workers` None (`auto`) becomes as many as fit into `scaling.max_blocks` jobs, else into
        two.
    queues : mapping
        Name → queue, in order of preference; may be empty.
    scaling : Scaling
        Scaling of the site; `max_blocks` limits each pool.
    """
    choice = choose_queue(pool, queues)
    if isinstance(choice, Refusal):
        return Shaped(None, refusal=choice)
    room, _ = _room(pool, choice)
    layout = _lay_out(pool, choice, room, scaling)
    walltime, lasting = _walltime(pool, choice)
    block = _block(pool, choice, layout, walltime)
    why = (choice.why, *_arrangement(pool, choice, block, layout), lasting)
    wants = pool.resource
    granted = PlanPool(
        name=pool.name,
        workers=layout.workers,
        cpus=wants.cpus,
        memory=wants.memory,
        gpus=wants.gpus,
        workers_per_gpu=pool.workers_per_gpu,
        disk=wants.disk,
        walltime=wants.walltime,
        resource=pool.resource_class,
        workers_per_block=layout.nodes * layout.per_node,
        blocks=layout.blocks,
        block=block.model_copy(update={"why": tuple(text for text in why if text)}),
        scaling=plan_scaling(scaling, layout.blocks),
    )
    return Shaped(granted, tuple(f"pool `{pool.name}`: {text}" for text in layout.warnings))


def plan_scaling(scaling: Scaling, blocks: int) -> PlanScaling:
    """Return the scaling of a pool with at most `blocks` blocks."""
    values = scaling.model_dump(exclude={"max_blocks"})
    return PlanScaling(**{**values, "min_blocks": min(scaling.min_blocks, blocks)})


@dataclass(frozen=True, slots=True)
class _Layout:
    workers: int
    blocks: int
    nodes: int
    per_node: int
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def _room(pool: Pool, choice: Choice) -> tuple[int, str]:
    """Return the most workers per node of a block, and a sentence with what they fill."""
    wants, queue = pool.resource, choice.queue
    most = choice.capacity(pool)
    if queue.whole_nodes and most is not None:
        return most, choice.fills(pool, "a whole node")
    cpus, memory = queue.slot // wants.cpus, queue.slot
    if queue.memory_per_cpu and not queue.whole_nodes:
        memory = queue.slot * queue.memory_per_cpu // wants.memory
    room = max(min(cpus, memory), 1)
    if most is not None and most < room:
        return most, choice.fills(pool, "a node")
    if min(cpus, memory) < 1:
        return room, f"it needs more than a slot of {_cpus(queue.slot)}"
    return room, f"{room} × {_cpus(wants.cpus)} {'fills' if room == 1 else 'fill'} a slot of {_cpus(queue.slot)}"


def _lay_out(pool: Pool, choice: Choice, room: int, scaling: Scaling) -> _Layout:
    """Distribute the workers over blocks: as many per node as fit, then evenly."""
    queue, nodes = choice.queue, choice.queue.min_nodes
    limits = [limit for limit in (queue.max_blocks, scaling.max_blocks) if limit is not None]
    limit = min(limits, default=None)
    workers, notes = pool.workers, []
    if workers is None:
        jobs = min([*limits, *([] if scaling.max_blocks else [AUTO_BLOCKS])])
        workers = jobs * nodes * room
        notes.append(f"workers `auto`: as many as fit into {_many(jobs, 'job')}")
    warnings = []
    if limit is not None and _ceil(workers, nodes * room) > limit:
        most = choice.capacity(pool)
        if most is not None and not queue.whole_nodes:  # larger slots
            room = min(most, max(room, _ceil(workers, limit * nodes)))
        nodes = max(nodes, min(queue.max_nodes or nodes, _ceil(workers, limit * room)))
        fits = limit * nodes * room
        if fits < workers:
            allowed = f"{_many(limit, 'job')} of {_many(nodes * room, 'worker')}"
            warnings.append(f"{workers} → {_many(fits, 'worker')} ({_who(queue, scaling, choice)} allows {allowed})")
            workers = fits
        else:
            notes.append(f"{_who(queue, scaling, choice)} allows {_many(limit, 'job')}, so they are larger")
    blocks = _ceil(workers, nodes * room)
    nodes = max(queue.min_nodes, _ceil(_ceil(workers, blocks), room))
    per_node = _ceil(workers, blocks * nodes)
    needed = _ceil(workers, room)
    if nodes > needed:
        warnings.append(
            f"{_many(nodes, 'node')} for {_many(workers, 'worker')} (queue `{choice.name}` has no jobs of fewer nodes)"
        )
    return _Layout(workers, blocks, nodes, per_node, tuple(warnings), tuple(notes))


def _who(queue: Queue, scaling: Scaling, choice: Choice) -> str:
    """Return the setting that limits the number of blocks."""
    if queue.max_blocks is not None and queue.max_blocks <= (scaling.max_blocks or queue.max_blocks):
        return f"queue `{choice.name}`"
    return "`scaling.max_blocks`"


def _block(pool: Pool, choice: Choice, layout: _Layout, walltime: float) -> PlanBlock:
    wants, queue = pool.resource, choice.queue
    node, count = queue.node, layout.per_node
    cpus, memory, gpus = count * wants.cpus, count * wants.memory, _ceil(count, pool.workers_per_gpu) * wants.gpus
    if queue.whole_nodes:
        cpus, memory, gpus = node.cpus or cpus, node.memory or memory, node.gpus or gpus
    elif queue.memory_per_cpu:
        cpus = max(cpus, _ceil(memory, queue.memory_per_cpu))
    return PlanBlock(
        nodes=layout.nodes,
        workers_per_node=count,
        cpus=cpus,
        memory=memory,
        gpus=gpus,
        disk=None if wants.disk is None else count * wants.disk,
        walltime=walltime,
        queue=choice.name,
        whole_nodes=queue.whole_nodes,
    )


def _arrangement(pool: Pool, choice: Choice, block: PlanBlock, layout: _Layout) -> tuple[str, ...]:
    """Return sentences with the number of workers per job and the number of jobs."""
    count = block.workers_per_node
    per = "node" if block.nodes > 1 or block.whole_nodes else "job"
    sentences = [*layout.notes]
    room, filling = _room(pool, choice)
    if count == room:
        reason = filling
    elif count > room:
        reason = f"more than a slot of {_cpus(choice.queue.slot)}, because the number of jobs is limited"
    elif layout.blocks == 1 and block.nodes == 1:
        reason = f"all workers of the pool; {room} would fit"
    else:
        reason = f"distributed evenly; {room} would fit"
    sentences.append(f"{_many(count, 'worker')} per {per}: {reason}")
    if pool.resource.gpus and pool.workers_per_gpu > 1:
        what = "GPU" if pool.resource.gpus == 1 else f"group of {pool.resource.gpus} GPUs"
        sentences.append(f"up to {_many(pool.workers_per_gpu, 'worker')} share a {what}; each sees all its memory")
    if not block.whole_nodes and block.cpus > count * pool.resource.cpus:
        brings = format_memory(choice.queue.memory_per_cpu or 0)
        sentences.append(
            f"{_cpus(block.cpus)} for {format_memory(block.memory)}: one cpu comes with {brings} of memory"
        )
    nodes = f" of {_many(block.nodes, 'node')}" if block.nodes > 1 else ""
    sentences.append(f"at most {_many(layout.blocks, 'job')}{nodes}: {_many(layout.workers, 'worker')}")
    return tuple(sentences)


def _walltime(pool: Pool, choice: Choice) -> tuple[float, str]:
    """Return the walltime of a block in seconds, and a sentence with the reason."""
    queue, wanted = choice.queue, pool.resource.walltime
    limit = queue.walltime
    tail = f"; queue `{choice.name}` allows {format_duration(limit)}" if limit else ""
    if wanted is not None:
        return wanted, f"walltime {format_duration(wanted)}: requested by the pool{tail}"
    default, source = queue.default_walltime or DEFAULT_WALLTIME, "the default"
    if queue.default_walltime:
        source = f"the default of queue `{choice.name}`"
    if limit is not None and limit <= default:
        return limit, f"walltime {format_duration(limit)}: the most that queue `{choice.name}` allows"
    return default, f"walltime {format_duration(default)}: {source}{tail}"


def _ceil(amount: int, size: int) -> int:
    return max(-(-amount // size), 1)


def _many(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "s")


def _cpus(count: int) -> str:
    return _many(count, "cpu")
