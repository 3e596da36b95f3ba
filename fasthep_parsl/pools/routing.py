"""Find the pool of a stage by its labels, or report why no pool fits. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fasthep_parsl.errors import Hint, Problem, suggest
from fasthep_parsl.pools.model import DEFAULT, Pool
from fasthep_parsl.workflow.execution_model import Execution
from fasthep_parsl.workflow.stage_model import StageExecution
from fasthep_parsl.workflow.yamldoc import Document, KeyPath, problem


@dataclass(frozen=True, slots=True)
class Route:
    """The pool of a stage.

    Attributes
    ----------
    pool : str
        Name of the pool.
    why : str
        Why it runs there, for ``plan``.
    lacking : dict
        Label that it asks for → why no pool provides it.
    warning : str
        Text of a warning if the stage runs on its fallback instead of the pool that it requires.
    """

    pool: str
    why: str
    lacking: dict[str, str] = field(default_factory=dict)
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
    """Return the pool of a stage, or a problem.

    A label matches the name of a pool, else its resource class. With `require`, the stage runs on such a pool, else on
    `fallback` (with a warning), else it is refused. With `prefer`, it runs on such a pool, else on `fallback`, else on
    `default`. An unknown label that is similar to a known one is refused as misspelt.

    Parameters
    ----------
    stage_id : str
        Id of the stage.
    wanted : StageExecution
        Its labels.
    execution : Execution
        Section ``execution``, for the names of resource classes.
    pools : sequence of Pool
        All pools.
    unavailable : mapping
        Pool → why the site cannot provide it (``this machine has no GPU``).
    document, path
        The workflow and the key path of the stage, for the places of problems.
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
                message = f"stage `{self.stage_id}`: no pool or resource class `{label}`"
                return self.problem(key, "E140", message, suggest(label, self.labels, what="labels"), label)
        return None

    def problem(self, key: str, code: str, message: str, hint: Hint, name: str = "") -> Problem:
        return problem(self.document, (*self.path, "execution", key), code, message, hint, name=name)

    def available(self, label: str | None) -> Pool | None:
        """Return the available pool for a label, by name, else the first of its class; None if there is none."""
        if label is None:
            return None
        named = [pool for pool in self.pools if pool.name == label]
        offers = named or [pool for pool in self.pools if pool.offers(label)]
        return next((pool for pool in offers if pool.name not in self.unavailable), None)

    def lack(self, label: str) -> str:
        """Return why no available pool has a label."""
        offers = [pool.name for pool in self.pools if pool.name == label] or [
            pool.name for pool in self.pools if pool.offers(label)
        ]
        return self.unavailable[offers[0]] if offers else "no pool has this label"

    def strict(self, label: str, fallback: str | None) -> Route | Problem:
        pool = self.available(label)
        if pool:
            return Route(pool.name, f"requires {_label(pool, label)}")
        other = self.available(fallback)
        if other:
            lack, second = self.lack(label), f"falls back to {_label(other, fallback)}"
            warning = f"stage `{self.stage_id}` requires `{label}` ({lack}); it {second}"
            return Route(other.name, f"requires `{label}`, {second}", {label: lack}, warning)
        return self.refuse("require", label, fallback)

    def lenient(self, prefer: str | None, fallback: str | None) -> Route | Problem:
        steps: list[str] = []
        lacking: dict[str, str] = {}
        for verb, label in (("prefers", prefer), ("falls back to", fallback)):
            pool = self.available(label)
            if pool:
                return Route(pool.name, ", ".join([*steps, f"{verb} {_label(pool, label)}"]), lacking)
            if label:
                steps.append(f"{verb} `{label}`")
                lacking[label] = self.lack(label)
        if self.available(DEFAULT):
            return Route(DEFAULT, ", ".join([*steps, f"runs on `{DEFAULT}`"]) if steps else "no label", lacking)
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
            reasons.insert(0, f"write `fallback: {free[0]}`")
        elif label not in self.labels:
            reasons.insert(0, f"add `execution.pools.{label}`")
        verb = "runs on" if label == DEFAULT and key != "require" else "requires"
        message = f"stage `{self.stage_id}` {verb} `{label}`, which this site cannot provide: {lacking}"
        return self.problem(key, "E141", message, "; ".join(reasons))

    @staticmethod
    def other(pool: Pool, label: str) -> str:
        named = f"of class `{pool.resource_class}`" if pool.resource_class else f"has {pool.resource}"
        return f"is not `{label}` ({named})"


def _label(pool: Pool, label: str | None) -> str:
    return f"`{label}`" if pool.name == label else f"class `{label}`"
