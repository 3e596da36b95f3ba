"""What this user has of proxies and tokens, and whether it suffices for a site and a workflow. Starts nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fasthep_parsl import registry
from fasthep_parsl.compiler.compile import unknown_kinds
from fasthep_parsl.compiler.credentials import InspectedCredential, inspect_credentials, too_short
from fasthep_parsl.compiler.grants import open_facility
from fasthep_parsl.credential_files import CredentialProblem
from fasthep_parsl.driver.api import load
from fasthep_parsl.driver.site_checks.sample import loaded_alone
from fasthep_parsl.errors import ConfigError, Problem
from fasthep_parsl.pools.model import build_pools
from fasthep_parsl.sites import load_site
from fasthep_parsl.workflow.loader import LoadedWorkflow


@dataclass(frozen=True)
class CredentialRow:
    """A credential that a site asks for, or that clients use.

    Attributes
    ----------
    item : InspectedCredential
        What this user has.
    problems : tuple of CredentialProblem
        Why it does not suffice.
    """

    item: InspectedCredential
    problems: tuple[CredentialProblem, ...] = ()

    @property
    def suffices(self) -> bool:
        """Whether the site accepts it, and it lives as long as the longest job."""
        return not self.problems


@dataclass(frozen=True)
class CredentialReport:
    """All credentials.

    Attributes
    ----------
    rows : tuple of CredentialRow
        In the order of the site.
    site : str
        Name of the site.
    walltime : float
        Life of its longest job, s; 0 if it is not limited.
    now : float
        When they were inspected, Unix time in s.
    """

    rows: tuple[CredentialRow, ...]
    site: str
    walltime: float
    now: float

    @property
    def suffices(self) -> bool:
        """Whether every credential suffices that is required or present."""
        return all(row.suffices or (row.item.found.absent and not row.item.model.required) for row in self.rows)


def report_credentials(workflow: Path | None, site: str, overrides: Sequence[str] = ()) -> CredentialReport:
    """Inspect the credentials of a site, with a workflow or without one. Issuers may be asked, for some seconds.

    Raises
    ------
    ConfigError
        There is no such site, or there are mistakes in its credentials.
    """
    if workflow is None:
        loaded = loaded_alone(load_site(site), overrides)
    else:
        loaded = load(workflow, site, overrides, tolerant=True)
    _refuse_mistakes(loaded)
    found = inspect_credentials(loaded, remote=True, network=True)
    walltime = _longest_job(loaded)
    rows = []
    for item in found.items:
        text = too_short(item, walltime, found.now)
        hint = item.model.advice
        short = (CredentialProblem("short", text, hint),) if text else ()
        rows.append(CredentialRow(item, (*item.found.problems, *short)))
    return CredentialReport(tuple(rows), site, walltime, found.now)


def _refuse_mistakes(loaded: LoadedWorkflow) -> None:
    """Refuse mistakes in the credentials; other parts of the files do not matter here."""
    problems: list[Problem] = [*loaded.problems, *unknown_kinds(loaded), *open_facility(loaded, None).problems]
    mine = [item for item in problems if item.key.startswith("execution.credentials")]
    if mine:
        raise ConfigError(*mine)


def _longest_job(loaded: LoadedWorkflow) -> float:
    """Return the longest walltime of the pools, s; 0 if none has one."""
    if loaded.workflow.execution.strategy.kind not in registry.names("strategies"):
        return 0.0
    facility = open_facility(loaded, None).value
    granted = [facility.grant(pool).pool for pool in build_pools(loaded.workflow.execution, loaded.document).value]
    return max(((pool.block.walltime if pool.block else pool.walltime) or 0.0 for pool in granted if pool), default=0.0)
