"""The queue of a pool: the one that it names, else the first whose nodes are large enough. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fasthep_parsl.errors import suggest
from fasthep_parsl.pools.model import Pool
from fasthep_parsl.resources.model import Resource
from fasthep_parsl.resources.units import format_duration, format_memory
from fasthep_parsl.workflow.facility import Queue
from fasthep_parsl.workflow.yamldoc import KeyPath


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a site cannot have a pool.

    Attributes
    ----------
    code : str
        ``E144`` too large or too long, ``E148`` no such queue, ``E141`` the site has no GPU.
    key : tuple
        What of the pool is wrong: ``("queue",)`` or ``("resources", "memory")``.
    message, hint : str
        As in `Problem`.
    reason : str
        Short, for the stages that wanted the pool; empty: they cannot run anywhere else either.
    """

    code: str
    key: KeyPath
    message: str
    hint: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """A queue, and why.

    Attributes
    ----------
    name : str
        Empty where the site has no queues: then nothing is known of its nodes.
    queue : Queue
        Its limits.
    why : str
        A sentence for ``plan``.
    """

    name: str
    queue: Queue
    why: str = ""

    def has(self, quantity: str) -> int | None:
        """Return how much a node has of ``cpus``, ``memory``, ``gpus`` or ``disk``; None if nobody says."""
        if not self.name:
            return None
        found: int | None = getattr(self.queue.node, quantity)
        return found

    def rooms(self, pool: Pool) -> dict[str, int]:
        """Return quantity → how many workers a node has room for, for all that is known."""
        wants, rooms = pool.resource, {}
        for quantity in ("cpus", "memory", "gpus", "disk"):
            amount, there = getattr(wants, quantity), self.has(quantity)
            if amount and there is not None:
                sharing = pool.workers_per_gpu if quantity == "gpus" else 1
                rooms[quantity] = there // amount * sharing
        cpus, brings = self.has("cpus"), self.queue.memory_per_cpu
        if cpus is not None and brings and not self.queue.whole_nodes:
            rooms["memory"] = min(rooms.get("memory", 2**62), cpus * brings // wants.memory)
        return rooms

    def capacity(self, pool: Pool) -> int | None:
        """Return how many workers a node has room for; None if nobody says."""
        return min(self.rooms(pool).values(), default=None)

    def fills(self, pool: Pool, what: str) -> str:
        """Say which quantity is used up first."""
        rooms = self.rooms(pool)
        quantity = min(rooms, key=lambda name: rooms[name])
        amount, there = getattr(pool.resource, quantity), self.has(quantity)
        words = _words(quantity, amount)
        if quantity == "gpus" and pool.workers_per_gpu > 1:
            words += f" shared by {pool.workers_per_gpu}"
        return f"{rooms[quantity]} × {words} {'fills' if rooms[quantity] == 1 else 'fill'} {what}" + (
            f" of {_words(quantity, there)}" if there else ""
        )

    def shape(self) -> str:
        """Return what a node has, in words."""
        node = self.queue.node
        parts = [_words(name, amount) for name in ("cpus", "memory", "gpus", "disk") if (amount := getattr(node, name))]
        return ", ".join(parts) or "nodes of unknown size"


def choose_queue(pool: Pool, queues: Mapping[str, Queue]) -> Choice | Refusal:
    """Return the queue of `pool`, or why there is none.

    The queue that the pool names; else the first, in the order of the file, whose nodes have room for a worker and
    whose walltime suffices. A pool without GPUs gets a queue without GPUs if one fits.
    """
    if pool.queue is not None and pool.queue not in queues:
        hint = suggest(pool.queue, queues, what="queues")
        if not queues:
            hint = f"this site has no `queues`; describe it in `execution.queues.{pool.queue}`, or remove `queue`"
        return Refusal("E148", ("queue",), f"pool `{pool.name}`: the site has no queue `{pool.queue}`", hint)
    if not queues:
        return Choice("", Queue(), "the site has no queues: nothing is known of its nodes")
    every = [Choice(name, queue) for name, queue in queues.items()]
    asked = [choice for choice in every if pool.queue in (None, choice.name)]
    large = [choice for choice in asked if _fits(choice, pool)]
    if not large:
        return _too_large(pool, asked, every)
    long = [choice for choice in large if _lasts(choice, pool.resource)]
    if not long:
        return _too_long(pool, large, every)
    chosen = long[0]
    if not pool.resource.gpus:
        chosen = next((choice for choice in long if not choice.has("gpus")), chosen)
    if pool.queue is not None:
        why = f"queue `{chosen.name}`: the pool names it"
    else:
        others = "the only one" if len(every) == 1 else "the first that fits"
        others += "" if chosen is long[0] else " and has no GPUs"
        why = f"queue `{chosen.name}` ({chosen.shape()}): {others}"
    return Choice(chosen.name, chosen.queue, why)


def _fits(choice: Choice, pool: Pool) -> bool:
    return choice.capacity(pool) != 0


def _lasts(choice: Choice, wants: Resource) -> bool:
    limit = choice.queue.walltime
    return wants.walltime is None or limit is None or wants.walltime <= limit


def _too_large(pool: Pool, asked: Sequence[Choice], every: Sequence[Choice]) -> Refusal:
    """Say which quantity no node has, and what the largest nodes have."""
    wants = pool.resource
    nothing_has = f"queue `{pool.queue}` has no node with" if pool.queue else "no node here has"
    fitting = [choice.name for choice in every if choice not in asked and _fits(choice, pool) and _lasts(choice, wants)]
    instead = f"; queue `{fitting[0]}` has such nodes" if fitting else ""
    shapes = "; ".join(f"`{choice.name}` {choice.shape()}" for choice in (asked if pool.queue else every))
    if wants.gpus and not any(choice.has("gpus") for choice in asked):
        reason = f"{nothing_has} a GPU, the pool asks for {wants.gpus} per worker"
        return Refusal("E144" if fitting else "E141", ("resources", "gpus"), f"pool `{pool.name}`: {reason}",
                       f"a node has: {shapes}{instead}", reason)  # fmt: skip
    for quantity in ("cpus", "memory", "gpus", "disk"):
        amount = getattr(wants, quantity)
        lacking = [choice for choice in asked if choice.rooms(pool).get(quantity) == 0]
        if amount and len(lacking) == len(asked):
            words = _words(quantity, amount)
            reason = f"{nothing_has} {words}, which the pool asks for per worker"
            largest = max(_most(choice, quantity) for choice in asked)
            hint = f"at most {_words(quantity, largest)} per worker{instead}; a node has: {shapes}"
            return Refusal("E144", ("resources", quantity), f"pool `{pool.name}`: {reason}", hint, reason)
    reason = f"{nothing_has} {_all_words(wants)} together, which the pool asks for per worker"
    hint = f"a node has: {shapes}{instead}"
    return Refusal("E144", ("resources",), f"pool `{pool.name}`: {reason}", hint, reason)


def _most(choice: Choice, quantity: str) -> int:
    """Return the most that a worker on a node of a queue can have of a quantity."""
    there = choice.has(quantity)
    cpus, brings = choice.has("cpus"), choice.queue.memory_per_cpu
    if quantity == "memory" and cpus and brings and not choice.queue.whole_nodes:
        return min(there or 2**62, cpus * brings)
    return there or 0


def _too_long(pool: Pool, large: Sequence[Choice], every: Sequence[Choice]) -> Refusal:
    wanted = pool.resource.walltime or 0.0
    longest = max(large, key=lambda choice: choice.queue.walltime or 0.0)
    limit = format_duration(longest.queue.walltime or 0.0)
    reason = f"{format_duration(wanted)} of walltime, queue `{longest.name}` allows {limit}"
    others = [c.name for c in every if c not in large and _fits(c, pool) and _lasts(c, pool.resource)]
    instead = f"queue `{others[0]}` allows it; " if others else ""
    hint = f"{instead}at most {limit}: `--set pools.{pool.name}.walltime={limit}`"
    if pool.resource_class:
        hint = f"{instead}at most {limit}: `--set resources.{pool.resource_class}.walltime={limit}`"
    return Refusal("E144", ("resources", "walltime"), f"pool `{pool.name}` asks for {reason}", hint)


def _words(quantity: str, amount: int) -> str:
    if quantity in {"memory", "disk"}:
        return f"{format_memory(amount)} of {quantity}"
    name = "GPU" if quantity == "gpus" else "cpu"
    return f"{amount} {name}" + ("" if amount == 1 else "s")


def _all_words(wants: Resource) -> str:
    amounts = [(name, getattr(wants, name)) for name in ("cpus", "memory", "gpus", "disk")]
    return ", ".join(_words(name, amount) for name, amount in amounts if amount)
