"""Choose the queue of a pool: the queue that it names, else the first one with large enough nodes. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fasthep_parsl.errors import Advice, Hint, suggest
from fasthep_parsl.pools.model import Pool
from fasthep_parsl.resources.model import Resource
from fasthep_parsl.resources.units import format_duration, format_memory
from fasthep_parsl.workflow.facility import Queue
from fasthep_parsl.workflow.yamldoc import KeyPath


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a site cannot provide a pool.

    Attributes
    ----------
    code : str
        ``E144`` too large or too long, ``E148`` unknown queue, ``E141`` the site has no GPU.
    key : tuple
        The wrong setting of the pool: ``("queue",)`` or ``("resources", "memory")``.
    reason : str
        What is wrong, without the name of the pool.
    hint : str, Suggestion or Advice
        What to do.
    name : str
        The name of a queue that does not exist.
    fallback : bool
        Whether stages may run on another pool instead. If not, the pool must be corrected.
    """

    code: str
    key: KeyPath
    reason: str
    hint: Hint
    name: str = ""
    fallback: bool = True


@dataclass(frozen=True, slots=True)
class Choice:
    """The queue of a pool.

    Attributes
    ----------
    name : str
        Name of the queue; empty if the site describes no queues, so that its nodes are unknown.
    queue : Queue
        Its limits.
    why : str
        Why it was chosen, for ``plan``.
    """

    name: str
    queue: Queue
    why: str = ""

    def has(self, quantity: str) -> int | None:
        """Return how much ``cpus``, ``memory``, ``gpus`` or ``disk`` a node has; None if unknown."""
        if not self.name:
            return None
        found: int | None = getattr(self.queue.node, quantity)
        return found

    def rooms(self, pool: Pool) -> dict[str, int]:
        """Return quantity → how many workers fit on a node, for the known quantities."""
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
        """Return how many workers fit on a node; None if unknown."""
        return min(self.rooms(pool).values(), default=None)

    def fills(self, pool: Pool, what: str) -> str:
        """Return a sentence with the quantity that limits the workers on `what`."""
        rooms = self.rooms(pool)
        quantity = min(rooms, key=lambda name: rooms[name])
        amount, there = getattr(pool.resource, quantity), self.has(quantity)
        each = _amount(quantity, amount)
        if quantity == "gpus" and pool.workers_per_gpu > 1:
            each += f" shared by {pool.workers_per_gpu}"
        return f"{rooms[quantity]} × {each} {'fills' if rooms[quantity] == 1 else 'fill'} {what}" + (
            f" of {_amount(quantity, there)}" if there else ""
        )

    def shape(self) -> str:
        """Return the quantities of a node as text."""
        node = self.queue.node
        parts = [
            _amount(name, amount) for name in ("cpus", "memory", "gpus", "disk") if (amount := getattr(node, name))
        ]
        return ", ".join(parts) or "nodes of unknown size"


def choose_queue(pool: Pool, queues: Mapping[str, Queue]) -> Choice | Refusal:
    """Return the queue of `pool`, or why it has none.

    This is the queue that the pool names; else the first in the order of the file with room for a worker on its nodes
    and enough walltime. A pool without GPUs gets a queue without GPUs if one fits.
    """
    if pool.queue is not None and pool.queue not in queues:
        hint: Hint = suggest(pool.queue, queues, what="queues")
        if not queues:
            hint = f"this site describes no queues; add `execution.queues.{pool.queue}`, or remove `queue`"
        reason = f"the site has no queue `{pool.queue}`"
        return Refusal("E148", ("queue",), reason, hint, name=pool.queue, fallback=False)
    if not queues:
        return Choice("", Queue(), "the site describes no queues, so its nodes are unknown")
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
        why = f"queue `{chosen.name}`: set by the pool"
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
    """Return the quantity that no node has, and the quantities of the largest nodes."""
    wants = pool.resource
    nothing_has = f"queue `{pool.queue}` has no node with" if pool.queue else "no node here has"
    fitting = [choice.name for choice in every if choice not in asked and _fits(choice, pool) and _lasts(choice, wants)]
    instead = f"; queue `{fitting[0]}` has such nodes" if fitting else ""
    shapes = "; ".join(f"`{choice.name}` {choice.shape()}" for choice in (asked if pool.queue else every))
    if wants.gpus and not any(choice.has("gpus") for choice in asked):
        reason = f"{nothing_has} a GPU, the pool asks for {wants.gpus} per worker"
        return Refusal("E144" if fitting else "E141", ("resources", "gpus"), reason, f"a node has: {shapes}{instead}")
    for quantity in ("cpus", "memory", "gpus", "disk"):
        amount = getattr(wants, quantity)
        lacking = [choice for choice in asked if choice.rooms(pool).get(quantity) == 0]
        if amount and len(lacking) == len(asked):
            reason = f"{nothing_has} {_amount(quantity, amount)}, which the pool asks for per worker"
            largest = max(_most(choice, quantity) for choice in asked)
            hint = f"ask for at most {_amount(quantity, largest)} per worker{instead}; a node has: {shapes}"
            return Refusal("E144", ("resources", quantity), reason, hint)
    reason = f"{nothing_has} {_all_amounts(wants)} together, which the pool asks for per worker"
    return Refusal("E144", ("resources",), reason, f"a node has: {shapes}{instead}")


def _most(choice: Choice, quantity: str) -> int:
    """Return the most of a quantity that a worker on a node of a queue can have."""
    there = choice.has(quantity)
    cpus, brings = choice.has("cpus"), choice.queue.memory_per_cpu
    if quantity == "memory" and cpus and brings and not choice.queue.whole_nodes:
        return min(there or 2**62, cpus * brings)
    return there or 0


def _too_long(pool: Pool, large: Sequence[Choice], every: Sequence[Choice]) -> Refusal:
    wanted = pool.resource.walltime or 0.0
    longest = max(large, key=lambda choice: choice.queue.walltime or 0.0)
    limit = format_duration(longest.queue.walltime or 0.0)
    reason = f"queue `{longest.name}` allows {limit} of walltime, the pool asks for {format_duration(wanted)}"
    others = [c.name for c in every if c not in large and _fits(c, pool) and _lasts(c, pool.resource)]
    instead = f"queue `{others[0]}` allows it; " if others else ""
    key = f"resources.{pool.resource_class}" if pool.resource_class else f"pools.{pool.name}"
    hint = Advice("{0}ask for at most {1}: `{settings}`", (f"{key}.walltime={limit}",), (instead, limit))
    return Refusal("E144", ("resources", "walltime"), reason, hint, fallback=False)


def _amount(quantity: str, amount: int) -> str:
    if quantity in {"memory", "disk"}:
        return f"{format_memory(amount)} of {quantity}"
    name = "GPU" if quantity == "gpus" else "cpu"
    return f"{amount} {name}" + ("" if amount == 1 else "s")


def _all_amounts(wants: Resource) -> str:
    amounts = [(name, getattr(wants, name)) for name in ("cpus", "memory", "gpus", "disk")]
    return ", ".join(_amount(name, amount) for name, amount in amounts if amount)
