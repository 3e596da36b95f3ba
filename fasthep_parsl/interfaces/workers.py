"""The contracts of strategies, environments and credentials: how workers are created, and what they need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

from fasthep_parsl.setup_folder import FILES_VARIABLE, SECRETS_VARIABLE

if TYPE_CHECKING:
    from fasthep_parsl.plan import PlanContainer
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
    """

    worker_init: tuple[str, ...] = ()
    python: str = ""
    files: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    container: PlanContainer | None = None

    def then(self, other: WorkerSetup) -> WorkerSetup:
        """Return this setup followed by `other`."""
        return WorkerSetup(
            (*self.worker_init, *other.worker_init),
            self.python or other.python,
            (*self.files, *other.files),
            (*self.secrets, *other.secrets),
            self.container or other.container,
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


class Credential(Protocol):
    """A proxy or token for workers: a frozen model with paths and requirements, never with a secret.

    The secret is read by `prepare` and written by `SetupFolder.write_secret` alone. It appears in no plan, script,
    environment variable, event, log or repr. The run removes its copy when it ends. Backend ``local`` does not use it.
    """

    def worker_setup(self) -> WorkerSetup:
        """Return what workers need: names of secrets, and lines that export their paths. Pure: reads no secret."""

    def prepare(self, folder: SetupFolder) -> None:
        """Check the credential and write its secrets. Idempotent; called when a run starts.

        Raises
        ------
        SiteError
            The credential is missing, expired or not sufficient. The message contains no secret.
        """
