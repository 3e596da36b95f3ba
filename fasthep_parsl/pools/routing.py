"""Routing: from a stage's labels to a pool, or to an error that says why none fits. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fasthep_parsl.errors import Hint, Problem, suggest
from fasthep_parsl.pools.model import DEFAULT, Pool
from fasthep_parsl.workflow.model import Execution, StageExecution
from fasthep_parsl.workflow.yamldoc import Document, KeyPath, problem


@dataclass(frozen=True, slots=True)
class Route:
    """Where a stage runs.

    Attributes
    ----------
    pool : str
        Name of the pool.
    why : str
        In words, for ``plan``.
    warning : str
        Set if the stage does not get what it requires but its fallback.
    """

    pool: str
    why: str
    warning: str = ""


def route(
    stage_id: str,
    wanted: StageExecution,
    execution: Execution,
    pools: Sequence[Pool],
    unavailable: Mapping[str, str],
    *,
    document: Document | None = None,
    path: KeyPath = (),
) -> Route | Problem:
    """Return the pool for a stage.

    A label matches a pool's name, else its resource class. `require` is strict: without such a pool the stage
    runs on `fallback` (with a warning) or not at all. `prefer` is used if such a pool exists, else `fallback`,
    else `default`. A label that nothing offers but that is close to one that exists is refused as misspelt.

    Parameters
    ----------
    stage_id : str
        For messages.
    wanted : StageExecution
        The stage's labels.
    execution : Execution
        For the names of resource classes.
    pools : sequence of Pool
        All pools.
    unavailable : mapping
        Name of a pool → why it cannot be had here (``this machine has no GPU``).
    document, path
        Place problems: `path` is the stage's.
    """
    router = _Router(stage_id, execution, pools, unavailable, document, path)
    misspelt = router.misspelt(wanted)
    if misspelt:
        return misspelt
    if wanted.require:
        return router.strict(wanted.require, wanted.fallback)
    return router.lenient(wanted.prefer, wanted.fallback)


@dataclass(frozen=True)
class _Router:
    stage_id: str
    execution: Execution
    pools: Sequence[Pool]
    unavailable: Mapping[str, str]
    document: Document | None
    path: KeyPath

    @property
    def labels(self) -> list[str]:
        classes = [pool.resource_class for pool in self.pools if pool.resource_class]
        return sorted({*(pool.name for pool in self.pools), *classes, *self.execution.resources})

    def misspelt(self, wanted: StageExecution) -> Problem | None:
        for key in ("require", "prefer", "fallback"):
            label = getattr(wanted, key)
            if label is None or label in self.labels:
                continue
            close = difflib.get_close_matches(label.lower(), [name.lower() for name in self.labels], n=1, cutoff=0.75)
            if close:
                message = f"stage `{self.stage_id}`: no pool and no resource class `{label}`"
                return self.complain(key, "E140", message, suggest(label, self.labels, what="labels"))
        return None

    def complain(self, key: str, code: str, message: str, hint: Hint) -> Problem:
        return problem(self.document, (*self.path, "execution", key), code, message, hint)

    def available(self, label: str | None) -> Pool | None:
        """Return the pool for a label: by name, else the first of its class; None if there is none to be had."""
        if label is None:
            return None
        named = [pool for pool in self.pools if pool.name == label]
        offers = named or [pool for pool in self.pools if pool.offers(label)]
        return next((pool for pool in offers if pool.name not in self.unavailable), None)

    def lack(self, label: str) -> str:
        """Return why no pool offers a label."""
        offers = [pool.name for pool in self.pools if pool.name == label] or [
            pool.name for pool in self.pools if pool.offers(label)
        ]
        return self.unavailable[offers[0]] if offers else "no pool offers it"

    def strict(self, label: str, fallback: str | None) -> Route | Problem:
        pool = self.available(label)
        if pool:
            return Route(pool.name, f"requires `{label}`{_through(pool, label)}")
        other = self.available(fallback)
        if other:
            why = f"requires `{label}` ({self.lack(label)}), falls back to `{fallback}`{_through(other, fallback)}"
            return Route(other.name, why, f"stage `{self.stage_id}` {why}")
        return self.refuse("require", label, fallback)

    def lenient(self, prefer: str | None, fallback: str | None) -> Route | Problem:
        reasons = []
        for verb, label in (("prefers", prefer), ("falls back to", fallback)):
            pool = self.available(label)
            if pool:
                reasons.append(f"{verb} `{label}`{_through(pool, label)}")
                return Route(pool.name, ", ".join(reasons))
            if label:
                reasons.append(f"{verb} `{label}` ({self.lack(label)})")
        if self.available(DEFAULT):
            return Route(DEFAULT, ", ".join([*reasons, f"runs on `{DEFAULT}`"]) if reasons else "no label")
        return self.refuse("prefer" if prefer else "fallback", DEFAULT, None)

    def refuse(self, key: str, label: str, fallback: str | None) -> Problem:
        lacking = self.lack(label)
        reasons = [
            f"{pool.name}: {self.unavailable.get(pool.name) or self.other(pool, label)}"
            for pool in self.pools
            if not (pool.name in self.unavailable and pool.offers(label))
        ]
        free = [pool.name for pool in self.pools if pool.name not in self.unavailable]
        if fallback:
            reasons.insert(0, f"fallback `{fallback}`: {self.lack(fallback)}")
        if free:
            reasons.insert(0, "`fallback: " + free[0] + "` would do")
        elif label not in self.labels:
            reasons.insert(0, f"describe it in `execution.pools.{label}`")
        message = f"stage `{self.stage_id}` requires `{label}`, which cannot be had here: {lacking}"
        if label == DEFAULT and key != "require":
            message = f"stage `{self.stage_id}` runs on `{DEFAULT}`, which cannot be had here: {lacking}"
        return self.complain(key, "E141", message, "; ".join(reasons))

    @staticmethod
    def other(pool: Pool, label: str) -> str:
        named = f"of class `{pool.resource_class}`" if pool.resource_class else f"has {pool.resource}"
        return f"is not `{label}` ({named})"


def _through(pool: Pool, label: str | None) -> str:
    return "" if pool.name == label else f" (a class; pool `{pool.name}` has it)"
