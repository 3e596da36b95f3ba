"""Read the file of a proxy or token, and check its mode and its owner as the clients of servers do."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from fasthep_parsl.credential_files.credential_facts import CredentialFileError, CredentialProblem

LARGEST = 1_000_000
"""Most bytes of a proxy or token. Larger files are neither."""


def read_file(path: Path, what: str) -> bytes:
    """Return the content of a credential.

    Parameters
    ----------
    path : Path
        The file.
    what : str
        How messages call it: ``proxy``.

    Raises
    ------
    CredentialFileError
        It does not exist or cannot be read.
    """
    try:
        with path.open("rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise CredentialFileError(CredentialProblem("unreadable", f"{what} `{path}` is not a file"))
            content = file.read(LARGEST + 1)
    except FileNotFoundError:
        raise CredentialFileError(CredentialProblem("missing", f"{what} `{path}` does not exist")) from None
    except OSError as error:
        message = f"{what} `{path}` cannot be read: {error.strerror}"
        raise CredentialFileError(CredentialProblem("unreadable", message)) from None
    if len(content) > LARGEST:
        message = f"`{path}` is not a {what}: it has more than {LARGEST:,} bytes"
        raise CredentialFileError(CredentialProblem("unreadable", message))
    return content


def file_problems(path: Path, what: str) -> tuple[CredentialProblem, ...]:
    """Return what clients refuse: a file that others may use, or that belongs to another user."""
    try:
        found = path.stat()
    except OSError:
        return ()  # `read_file` says so
    problems = []
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o077:
        message = f"{what} `{path}` has mode {mode:04o}: other users may access it, so clients refuse it"
        problems.append(CredentialProblem("mode", message, f"run `chmod 600 {path}`"))
    if found.st_uid != os.geteuid():
        message = f"{what} `{path}` belongs to user {found.st_uid}, not to you ({os.geteuid()}), so clients refuse it"
        problems.append(CredentialProblem("owner", message, "use a file of your own"))
    return tuple(problems)
