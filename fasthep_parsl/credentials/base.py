"""Base class of credentials: the fields that all kinds have, and how a credential is checked and written."""

from __future__ import annotations

import math
import os
import time
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from fasthep_parsl.credential_files import (
    CredentialFacts,
    CredentialFileError,
    CredentialProblem,
    NoCredentialError,
    time_text,
)
from fasthep_parsl.credential_files.private_files import file_problems, read_file
from fasthep_parsl.errors import SiteError
from fasthep_parsl.interfaces import SECRETS, Inspection, Renewal, WorkerSetup
from fasthep_parsl.resources.validation import Duration
from fasthep_parsl.setup_folder import SetupFolder
from fasthep_parsl.workflow.values import Line

EXPIRY_MARGIN = 10
"""Seconds of life that a credential needs to be used at all: work begins a moment later."""
CLOCK_SKEW = 300
"""Seconds by which the clock of an issuer may be ahead of ours."""
NOTICED = 5
"""Seconds by which it may be ahead without a warning."""


@dataclass(frozen=True, slots=True)
class Found:
    """A credential of this user.

    Attributes
    ----------
    content : bytes
        The secret. It is not part of the repr.
    path : Path or None
        Its file; None if it is the value of an environment variable.
    place : str
        What names it, for messages: ``X509_USER_PROXY``.
    """

    content: bytes = field(repr=False)
    path: Path | None = None
    place: str = ""


class CredentialModel(BaseModel):
    """Base class of credentials. Frozen; unknown fields are refused; no field is a secret."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stored_as: ClassVar[str]
    """Name of its secret on workers."""
    noun: ClassVar[str]
    """How messages call it: ``proxy``."""
    xrootd_protocol: ClassVar[str] = ""
    """Name of the protocol of XRootD that uses it, ``gsi``; empty if there is none."""

    required: bool = Field(
        True,
        description="whether a run needs it; if not, it is used if the workflow reads URLs and it suffices",
    )
    path: Line | None = Field(
        None, description="its file; default: where clients look for it; relative to the workflow file"
    )
    min_lifetime: Duration | None = Field(
        None, description="shortest life that it must have when a run starts, seconds; `8h`"
    )
    renew: Line | None = Field(
        None,
        description="command that renews it without a question; it replaces the file, or prints the new credential",
    )
    cert_dir: Line | None = Field(
        None,
        description="folder with the certificates of authorities on nodes; default: X509_CERT_DIR there, else the "
        "first of `/etc/grid-security/certificates` and the folders of CVMFS that exists",
    )
    carry: Literal["files", "batch"] = Field(
        "files",
        description="who brings it to workers: `files`, the run itself; `batch`, the batch system, which HTCondor can",
    )

    @classmethod
    def located(cls, params: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        """Return the parameters for the plan, with a complete `path`.

        Parameters
        ----------
        params : mapping
            The parameters as the user wrote them.
        folder : Path
            Folder of the workflow file.
        """
        path = params.get("path")
        if not isinstance(path, str) or not path.strip():
            return dict(params)
        return {**params, "path": str(folder / Path(path.strip()).expanduser())}

    # --- what a kind implements -----------------------------------------------------------------------------

    @abstractmethod
    def find(self, environ: Mapping[str, str]) -> Found:
        """Return the credential of this user where clients look for it, if the field `path` is not set.

        Raises
        ------
        CredentialFileError
            There is none (`NoCredentialError`), or its file cannot be read.
        """

    @abstractmethod
    def read(self, content: bytes) -> CredentialFacts:
        """Return what a credential states.

        Raises
        ------
        CredentialFileError
            It is not a credential of this kind.
        """

    @abstractmethod
    def worker_setup(self) -> WorkerSetup:
        """Return what workers need: the name of the secret, and lines that export its path. Pure: reads no secret."""

    @abstractmethod
    def variables(self, path: Path) -> Mapping[str, str]:
        """Return the variables with which this process uses the secret in the file `path`; empty values: not set."""

    def insufficient(self, facts: CredentialFacts) -> tuple[CredentialProblem, ...]:  # noqa: ARG002 - for subclasses
        """Return why a valid credential does not permit what the fields demand. Override it."""
        return ()

    def cautions(self) -> tuple[str, ...]:
        """Return what on this machine gets in the way of a good credential. Override it."""
        return ()

    def ask(self, content: bytes) -> tuple[tuple[CredentialProblem, ...], tuple[str, ...]]:  # noqa: ARG002
        """Return problems and warnings that only the network knows. Override it; end within some seconds."""
        return (), ()

    def renewal(self) -> Renewal | None:
        """Return how it is renewed without its user: the command of the field `renew`. Override it to find more."""
        return Renewal(("/bin/sh", "-c", self.renew), prints=True) if self.renew else None

    @property
    def advice(self) -> str:
        """What the user does to get a new one, for hints."""
        return f"run `{self.renew}`" if self.renew else f"get a new {self.noun}"

    # --- what all kinds do ----------------------------------------------------------------------------------

    def inspect(self, now: float, *, network: bool = False) -> Inspection:
        """Find the credential of this user and check it.

        Parameters
        ----------
        now : float
            Unix time, s.
        network : bool
            Whether to ask servers, too. It takes seconds.
        """
        return self._inspect(now, network=network)[0]

    def examine(self, content: bytes, now: float) -> Inspection:
        """Check a credential that was just obtained: everything but its file."""
        try:
            facts = self.read(content)
        except CredentialFileError as error:
            return Inspection(None, (self._advised(error.problem),))
        problems, warnings = self._life(facts, now)
        return Inspection(facts, (*problems, *self.insufficient(facts)), warnings)

    def prepare(self, folder: SetupFolder) -> None:
        """Check the credential and write its secret, if the run brings it to workers. Idempotent.

        Raises
        ------
        SiteError
            It is missing, expired or not sufficient. The message contains no secret.
        """
        seen, found = self._inspect(time.time(), network=True)
        if seen.problems:
            raise SiteError("\n".join(f"credential: {problem}" for problem in seen.problems))
        if found is not None and self.carry == "files":
            folder.write_secret(self.stored_as, found.content.strip() if self.noun == "token" else found.content)

    @property
    def comes_later(self) -> bool:
        """Whether jobs get it from the batch system even if this user has none now. Override it if so."""
        return False

    @property
    def secret_path(self) -> str:
        """Path of the secret in shell lines of a node."""
        return f"{SECRETS}/{self.stored_as}"

    def _inspect(self, now: float, *, network: bool) -> tuple[Inspection, Found | None]:
        """Return what is known, and the content to which it applies."""
        try:
            found = self._find()
        except CredentialFileError as error:
            if self.comes_later and error.problem.cause == "missing":
                warning = f"the batch system gets the {self.noun} for the jobs; there is none for reading files here"
                return Inspection(None, (), (warning,), absent=True), None
            absent = isinstance(error, NoCredentialError)
            return Inspection(None, (self._advised(error.problem),), absent=absent), None
        seen = self.examine(found.content, now)
        facts = replace(seen.facts, path=found.path) if seen.facts else None
        where = f"{self.noun} `{found.path}`" if found.path else f"{self.noun} in {found.place}"
        named = tuple(
            replace(item, message=f"{where}: {item.message}") if seen.facts is None else item for item in seen.problems
        )
        files = file_problems(found.path, self.noun) if found.path else ()
        refused, warnings = self.ask(found.content) if network and seen.facts and not named else ((), ())
        problems = (*files, *named, *refused)
        return Inspection(facts, problems, (*seen.warnings, *warnings, *self.cautions()), place=found.place), found

    def _find(self) -> Found:
        if self.path is None:
            return self.find(os.environ)
        path = Path(self.path).expanduser()
        return Found(read_file(path, self.noun), path, "path")

    def _life(self, facts: CredentialFacts, now: float) -> tuple[tuple[CredentialProblem, ...], tuple[str, ...]]:
        """Return problems and warnings because of begin and end of a credential."""
        left, early = facts.expires - now, facts.not_before - now
        if left <= EXPIRY_MARGIN:
            who = f"the VO attributes of the {facts.owner}" if facts.vo_expires <= facts.expires else facts.owner
            when = f"expired {time_text(-left)} ago" if left <= 0 else f"expires in {time_text(left)}"
            return (CredentialProblem("expired", f"{who}: {when}", self.advice),), ()
        if early > CLOCK_SKEW:
            message = f"{facts.owner} is not valid for another {time_text(early)}"
            return (CredentialProblem("not_yet_valid", message, "check the clock of this machine"),), ()
        warnings: tuple[str, ...] = ()
        if early > NOTICED:
            warnings = (
                f"{facts.owner} is valid in {time_text(early)}: the clocks of its issuer and this machine differ",
            )
        if self.min_lifetime is not None and left < self.min_lifetime and not math.isinf(left):
            wanted = time_text(self.min_lifetime)
            message = f"{facts.owner} lives for another {time_text(left)}, `min_lifetime` is {wanted}"
            return (CredentialProblem("short", message, self.advice),), warnings
        return (), warnings

    def _advised(self, problem: CredentialProblem) -> CredentialProblem:
        """Return a problem with the hint how to get a new credential, if it has none."""
        return problem if problem.hint else replace(problem, hint=self.advice)
