"""Environment variables of this process: it reads files with the same credentials as the workers."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from fasthep_parsl.credential_files.proxies import harmful_variables
from fasthep_parsl.interfaces import OTHER_PROTOCOLS, Credential
from fasthep_parsl.setup_folder import SECRETS, SetupFolder

PROTOCOL = "XrdSecPROTOCOL"
"""Protocols that the client of XRootD may use. Those of credentials that are not listed are left out."""


@contextmanager
def credential_variables(credentials: Iterable[Credential], run_dir: Path | None = None) -> Iterator[None]:
    """Set the variables of credentials for the block, with paths only, and restore them at its end.

    A token that is the value of a variable becomes a private file, and the variable is not set. Variables that would
    break a client, such as a path of a proxy that does not exist, are not set.

    Parameters
    ----------
    credentials : iterable of Credential
        The credentials in use.
    run_dir : Path, optional
        Run directory with prepared secrets, which are renewed during the run. Default: the user's own files.
    """
    private: list[Path] = []
    wanted = dict(harmful_variables(os.environ))
    try:
        protocols = []
        for credential in credentials:
            path = _file_of(credential, run_dir, private)
            if path is not None:
                wanted |= credential.variables(path)
                protocols += [credential.xrootd_protocol] if credential.xrootd_protocol else []
        if protocols and not os.environ.get(PROTOCOL):
            wanted[PROTOCOL] = ",".join((*protocols, *OTHER_PROTOCOLS))
        before = {name: os.environ.get(name) for name in wanted}
        _set(wanted)
        try:
            yield
        finally:
            _set(before)
    finally:
        for folder in private:
            shutil.rmtree(folder, ignore_errors=True)


def _file_of(credential: Credential, run_dir: Path | None, private: list[Path]) -> Path | None:
    """Return the file of a credential; None if there is none. Folders that are made are added to `private`."""
    prepared = run_dir / SECRETS / credential.stored_as if run_dir else None
    if prepared is not None and prepared.exists():
        return prepared
    found = credential.inspect(time.time())
    if found.facts is None or found.problems:
        return None
    if found.facts.path is not None:
        return found.facts.path
    private.append(Path(tempfile.mkdtemp(prefix="fasthep-parsl-")))
    credential.prepare(SetupFolder(private[-1]))
    written = private[-1] / SECRETS / credential.stored_as
    return written if written.exists() else None  # the batch system brings it: nothing is written


def _set(variables: Mapping[str, str | None]) -> None:
    """Set environment variables; those without a value are removed."""
    for name, value in variables.items():
        if value:
            os.environ[name] = value
        else:
            os.environ.pop(name, None)
