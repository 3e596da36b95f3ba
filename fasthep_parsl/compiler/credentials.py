"""Credentials of a run: which of them are used, why one is refused, and until when the run can work with them."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from fasthep_parsl import registry
from fasthep_parsl.compiler.worker_setups import located
from fasthep_parsl.credential_files import time_text
from fasthep_parsl.errors import Problem
from fasthep_parsl.interfaces import Credential, Inspection
from fasthep_parsl.plan import PlanPool
from fasthep_parsl.workflow.loader import LoadedWorkflow
from fasthep_parsl.workflow.locations import is_url, local_path
from fasthep_parsl.workflow.yamldoc import problem, walk

KEYS = {"vo": "vo", "scope": "scope", "audience": "audience", "issuer": "issuer", "short": "min_lifetime"}
"""Reason of a problem → the key that demands what is lacking."""


@dataclass(frozen=True, slots=True)
class InspectedCredential:
    """A credential of a workflow with its site, and what this user has.

    Attributes
    ----------
    number : int
        Position in `execution.credentials`.
    kind : str
        Its kind.
    model : Credential
        The credential.
    found : Inspection
        What this user has; empty if the run does not use it in any case.
    used : bool
        Whether the run uses it.
    """

    number: int
    kind: str
    model: Credential
    found: Inspection
    used: bool


@dataclass(frozen=True, slots=True)
class Credentials:
    """The credentials of a workflow with its site.

    Attributes
    ----------
    items : tuple of InspectedCredential
        All of them that are valid, in their order.
    problems : tuple of Problem
        Why a required one does not suffice.
    warnings : tuple of str
        What may go wrong, and what is left out.
    now : float
        When they were inspected, Unix time in s.
    """

    items: tuple[InspectedCredential, ...] = ()
    problems: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = ()
    now: float = field(default=0.0, compare=False)

    @property
    def unused(self) -> frozenset[int]:
        """Positions in `execution.credentials` of those that the run does not use."""
        return frozenset(item.number for item in self.items if not item.used)

    @property
    def used(self) -> tuple[Credential, ...]:
        """Those that the run uses."""
        return tuple(item.model for item in self.items if item.used)


def inspect_credentials(loaded: LoadedWorkflow, *, remote: bool | None = None, network: bool = False) -> Credentials:
    """Find and check the credentials of a workflow with its site.

    One that is required is used always. Another one is used if the workflow reads URLs and it suffices. If it does not
    suffice, the plan has a warning. If the user has none, it has not: many servers need none, and others will say so.

    Parameters
    ----------
    loaded : LoadedWorkflow
        The workflow with the site's layers.
    remote : bool, optional
        Whether the workflow reads URLs; default: look.
    network : bool
        Whether servers may be asked, too.
    """
    now = time.time()
    reads = reads_urls(loaded) if remote is None else remote
    items: list[InspectedCredential] = []
    problems: list[Problem] = []
    warnings: list[str] = []
    for number, (kind, model) in _models(loaded):
        matters = model.required or reads
        found = model.inspect(now, network=network) if matters else Inspection()
        used = matters and (model.required or not found.problems)
        items.append(InspectedCredential(number, kind, model, found, used))
        if model.required:
            problems += _problems(loaded, number, kind, found)
        elif reads and found.problems and not found.absent:
            why = "; ".join(map(str, found.problems))
            warnings.append(f"credential `{kind}` is not used: {why}")
        if used:
            warnings += (f"credential `{kind}`: {text}" for text in found.warnings)
    return Credentials(tuple(items), tuple(problems), tuple(warnings), now)


def reads_urls(loaded: LoadedWorkflow) -> bool:
    """Return whether the workflow reads files from servers."""
    for path in (("data", "datasets"), ("sources",), ("execution", "storage")):
        node = loaded.document.get(path)
        for _, item in walk(node) if node is not None else ():
            if isinstance(item.value, str) and is_url(item.value) and local_path(item.value) is None:
                return True
    return False


def lifetime_warnings(credentials: Credentials, pools: Iterable[PlanPool]) -> tuple[str, ...]:
    """Warn of credentials that end before the longest job can, and that only the user can renew."""
    walltimes = [(pool.block.walltime if pool.block else pool.walltime) or 0.0 for pool in pools if pool.used]
    longest = max(walltimes, default=0.0)
    return tuple(
        f"credential `{item.kind}`: {text}"
        for item in credentials.items
        if (text := too_short(item, longest, credentials.now))
    )


def too_short(item: InspectedCredential, walltime: float, now: float) -> str:
    """Return why a credential does not live as long as a job; empty if it does or can be renewed.

    Parameters
    ----------
    item : InspectedCredential
        The credential.
    walltime : float
        Life of the longest job, s.
    now : float
        Unix time, s.
    """
    facts = item.found.facts
    if facts is None or math.isinf(facts.expires) or not now < facts.expires < now + walltime:
        return ""
    if not item.used or item.model.renewal() is not None:
        return ""
    until = datetime.fromtimestamp(facts.expires).astimezone()
    return (
        f"{facts.describe(now)}, jobs run for up to {time_text(walltime)}, and nothing renews it: the run can read until "
        f"{until:%Y-%m-%d %H:%M}, then new work waits for a new {'proxy' if facts.kind == 'x509' else 'token'}; "
        "`renew` can name a command that gets one"
    )


def _models(loaded: LoadedWorkflow) -> Iterable[tuple[int, tuple[str, Any]]]:
    """Yield position, kind and model of each valid credential. `combined_setup` reports the others."""
    for number, item in enumerate(loaded.workflow.execution.credentials):
        if item.kind not in registry.names("credentials"):
            continue
        model = registry.load("credentials", item.kind)
        try:
            yield number, (item.kind, model.model_validate(located(item, "credentials", loaded.path.absolute().parent)))
        except ValidationError:
            continue


def _problems(loaded: LoadedWorkflow, number: int, kind: str, found: Inspection) -> list[Problem]:
    at = ("execution", "credentials", number)
    problems = []
    for item in found.problems:
        key = (*at, KEYS.get(item.cause, "path"))
        place = key if loaded.document.has(key) else at
        problems.append(problem(loaded.document, place, "E115", f"credential `{kind}`: {item.message}", item.hint))
    return problems
