"""The contracts of strategies, environments and credentials: how workers are created, and what they need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

from fasthep_parsl.credential_files import CredentialFacts, CredentialProblem
from fasthep_parsl.setup_folder import FILES_VARIABLE, SECRETS_VARIABLE

if TYPE_CHECKING:
    from fasthep_parsl.plan import PlanBatchCredential, PlanContainer
    from fasthep_parsl.setup_folder import SetupFolder


FILES = f"${FILES_VARIABLE}"
"""In shell lines of a `WorkerSetup`: folder of its files, on every strategy."""
SECRETS = f"${SECRETS_VARIABLE}"
"""In shell lines of a `WorkerSetup`: folder of its secrets, on every strategy. Only the user can enter it."""
PREFIX = "$FASTHEP_PARSL_PREFIX"
"""`WorkerSetup.python` may begin with it: the variable is set by the shell lines, to a folder that only the node knows."""


@dataclass(frozen=True, slots=True)
class WorkerSetup:
    """What a worker needs before its first task. Every strategy honours all of it, or the compiler refuses the plan.

    The setups of a run are combined in this order: the environment, the credentials as listed, `worker_init` of the site.

    Attributes
    ----------
    worker_init : tuple of str
        Shell lines that run on each node before its workers start. Paths only, never a secret: scripts show them.
    python : str
        Python of the workers; empty if the setup does not choose it. It may begin with `PREFIX`.
    files : tuple of str
        Names of files that `prepare` writes. Workers find them in `FILES`.
    secrets : tuple of str
        Names of secrets that `prepare` writes. Workers find them in `SECRETS`, with mode 0600.
    container : PlanContainer or None
        The container in which workers run; None if the setup does not choose one.
    batch_credentials : tuple of PlanBatchCredential
        Credentials that the batch system itself brings to jobs and renews there. The compiler refuses strategies that cannot.
    """

    worker_init: tuple[str, ...] = ()
    python: str = ""
    files: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    container: PlanContainer | None = None
    batch_credentials: tuple[PlanBatchCredential, ...] = ()

    def then(self, other: WorkerSetup) -> WorkerSetup:
        """Return this setup followed by `other`."""
        return WorkerSetup(
            (*self.worker_init, *other.worker_init),
            self.python or other.python,
            (*self.files, *other.files),
            (*self.secrets, *other.secrets),
            self.container or other.container,
            (*self.batch_credentials, *other.batch_credentials),
        )


class Strategy(Protocol):
    """How the workers of a pool are created: a frozen model with the site's options."""

    batch: ClassVar[bool]
    """Whether workers are jobs of a batch system. If so, it is a `BatchStrategy`, and the compiler fits blocks to the
    site's queues. If not, workers are processes of this machine."""


class Environment(Protocol):
    """The software of the workers. Derive it from `fasthep_parsl.environments.base.EnvironmentModel`.

    Backend ``local`` does not use it.
    """

    def worker_setup(self) -> WorkerSetup:
        """Return what workers need. Pure."""

    def prepare(self, folder: SetupFolder) -> Mapping[str, str] | None:
        """Write the files of `worker_setup` and check what can be checked here. Idempotent; called when a run starts.

        Returns
        -------
        mapping or None
            Name of a distribution, normalised → version that workers will have, and ``python`` → version of Python. None
            if this machine cannot know it, or if it is the driver's software.

        Raises
        ------
        SiteError
            The software cannot be provided.
        """


OTHER_PROTOCOLS = ("krb5", "sss", "unix", "host")
"""Protocols of XRootD that need neither a proxy nor a token: `XrdSecPROTOCOL` always has them."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """What is known about a credential of this user, without its secret.

    Attributes
    ----------
    facts : CredentialFacts or None
        What it states; None if it is missing or cannot be read.
    problems : tuple of CredentialProblem
        Why it does not suffice; empty if it does.
    warnings : tuple of str
        What may go wrong although it suffices.
    place : str
        What names its file: a variable, or a key; empty if it is where clients look without being told.
    absent : bool
        Whether nothing says that there is a credential.
    """

    facts: CredentialFacts | None = None
    problems: tuple[CredentialProblem, ...] = ()
    warnings: tuple[str, ...] = ()
    place: str = ""
    absent: bool = False


@dataclass(frozen=True, slots=True)
class Renewal:
    """How a credential is renewed without its user.

    Attributes
    ----------
    command : tuple of str
        Command and arguments. It ends by itself and asks nothing. It replaces the file of the credential.
    prints : bool
        Whether it may print the new credential instead. Its output is the credential if it is one.
    """

    command: tuple[str, ...]
    prints: bool = False

    @property
    def shown(self) -> str:
        """The command as a user types it."""
        from shlex import join

        return self.command[2] if self.command[:2] == ("/bin/sh", "-c") else join(self.command)


class Credential(Protocol):
    """A proxy or token for workers: a frozen model with paths and requirements, never with a secret.

    Derive it from `fasthep_parsl.credentials.base.CredentialModel`.

    The secret is read when a run starts and written by `SetupFolder.write_secret` alone. It appears in no plan, script,
    environment variable, event, log, exception or repr. The run removes its copy when it ends. Driver, backend ``local``
    and workers use the same credential.
    """

    stored_as: ClassVar[str]
    """Name of its secret in `worker_setup`."""
    xrootd_protocol: ClassVar[str]
    """Name of the protocol of XRootD that uses it, ``gsi``; empty if there is none."""

    @property
    def required(self) -> bool:
        """Whether a run needs it. If not, it is used if the workflow reads URLs and it suffices."""

    def worker_setup(self) -> WorkerSetup:
        """Return what workers need: names of secrets, and lines that export their paths. Pure: reads no secret."""

    def inspect(self, now: float, *, network: bool = False) -> Inspection:
        """Find the credential of this user and check it. Called when a plan is made, and while a run waits.

        Parameters
        ----------
        now : float
            Unix time, s.
        network : bool
            Whether servers may be asked, too, for some seconds.
        """

    def examine(self, content: bytes, now: float) -> Inspection:
        """Check a credential that was just obtained: everything but its file."""

    def prepare(self, folder: SetupFolder) -> None:
        """Check the credential and write its secrets. Idempotent; called when a run starts, and when it is renewed.

        Raises
        ------
        SiteError
            The credential is missing, expired or not sufficient. The message contains no secret.
        """

    def variables(self, path: Path) -> Mapping[str, str]:
        """Return the environment variables with which this process uses a secret. Paths, never the secret.

        Parameters
        ----------
        path : Path
            File with the secret.

        Returns
        -------
        mapping
            Variable → value; an empty value means that the variable must not be set.
        """

    @property
    def advice(self) -> str:
        """What the user does to get a new one, for hints: ``run `voms-proxy-init```."""

    def renewal(self) -> Renewal | None:
        """Return how it is renewed without its user, None if only the user can do it."""
