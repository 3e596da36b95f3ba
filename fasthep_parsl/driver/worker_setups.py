"""Worker setups of a run: prepare the files and secrets that its blocks need."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from fasthep_parsl import registry
from fasthep_parsl.analysis_code.handshake import expected_software, known_differences, on_python_path, refusal
from fasthep_parsl.driver.credential_variables import credential_variables
from fasthep_parsl.driver.lock import LockLostError
from fasthep_parsl.errors import SiteError
from fasthep_parsl.interfaces import Credential
from fasthep_parsl.plan import Plan
from fasthep_parsl.setup_folder import SetupFolder, SetupProgress
from fasthep_parsl.signals import undisturbed


@contextmanager
def prepared_setups(plan: Plan, run_dir: Path, progress: SetupProgress | None = None) -> Iterator[None]:
    """Prepare the worker setups of a plan for the block, and remove secrets and large files at its end.

    They stay if another driver has taken over the run. This process uses the prepared credentials, too. Backend
    ``local`` runs tasks in this process, which has the user's software: only credentials are prepared.

    Raises
    ------
    SiteError
        The site cannot provide an environment or a credential, or the environment has other software.
    """
    try:
        credentials = [registry.load("credentials", item.kind)(**item.params) for item in plan.credentials]
        _prepare(plan, credentials, SetupFolder(run_dir, progress))
        with credential_variables(credentials, run_dir):
            yield
    except LockLostError:
        raise
    except BaseException:
        clear_setups(run_dir)
        raise
    clear_setups(run_dir)


def clear_setups(run_dir: Path) -> None:
    """Remove the secrets and the large files of a run whose blocks have ended."""
    with undisturbed():
        SetupFolder(run_dir).clear()


def _compare(plan: Plan, versions: Mapping[str, str] | None) -> None:
    """Compare the software that workers will have with the driver's, if it is known before any block starts.

    Packages from folders on PYTHONPATH are not part of an environment. The nodes look for them.

    Raises
    ------
    SiteError
        It differs in a way that can change results. The message has all differences.
    """
    if not versions:
        return
    expected = expected_software(plan)
    found = (item for item in known_differences(expected, versions) if item.found or not on_python_path(item.package))
    reason = refusal(found, expected)
    if reason:
        raise SiteError(f"`execution.environment` has {reason}")


def _prepare(plan: Plan, credentials: Iterable[Credential], folder: SetupFolder) -> None:
    """Let the environment and the credentials write their files and secrets, and check that they did."""
    if plan.environment is not None and plan.backend != "local":
        environment = registry.load("environments", plan.environment.kind)(**plan.environment.params)
        _compare(plan, environment.prepare(folder))
    for credential in credentials:
        credential.prepare(folder)
    folder.report("")
    for pool in plan.pools if plan.backend != "local" else ():
        folder.check(pool.files, pool.secrets)
