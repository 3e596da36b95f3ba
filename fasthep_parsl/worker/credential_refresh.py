"""Fresh credentials for workers that do not see the run directory: they come with the tasks.

A block brings the secrets of its worker setup when it starts. Parsl cannot address a node, so nothing can be sent to a
running block. Each task therefore carries the secrets as they are when it is sent, some kB, over the encrypted
connection of its workers. A worker replaces a secret only by one that was written later.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fasthep_parsl.atomic import write_private
from fasthep_parsl.setup_folder import SECRETS, SECRETS_VARIABLE

VERSIONS = ".versions"
"""File beside the secrets of a node: name → version that was written last."""


@dataclass(frozen=True, slots=True, repr=False)
class TaskSecrets:
    """Secrets that a task carries. Their content is never shown.

    Attributes
    ----------
    contents : mapping
        Name → content.
    versions : mapping
        Name → time at which the driver wrote it, ns. Only the driver's clock counts.
    """

    contents: Mapping[str, bytes]
    versions: Mapping[str, int]

    def __repr__(self) -> str:
        return f"TaskSecrets({', '.join(self.contents)})"


NO_SECRETS = TaskSecrets({}, {})


def read_secrets(run_dir: Path, names: Iterable[str]) -> TaskSecrets:
    """Return the secrets of a run as they are now.

    Raises
    ------
    OSError
        One cannot be read.
    """
    contents, versions = {}, {}
    for name in names:
        with (run_dir / SECRETS / name).open("rb") as file:  # it can be replaced at any moment
            versions[name] = os.fstat(file.fileno()).st_mtime_ns
            contents[name] = file.read()
    return TaskSecrets(contents, versions)


def install_secrets(carried: TaskSecrets) -> None:
    """Write the secrets of a task to the folder of the node's secrets, unless a later version is there.

    Raises
    ------
    OSError
        They cannot be written.
    """
    folder = os.environ.get(SECRETS_VARIABLE)
    if not carried.contents or not folder:
        return
    place = Path(folder)
    with (place / VERSIONS).open("a+b") as file:  # the workers of a node share the folder
        fcntl.flock(file, fcntl.LOCK_EX)
        known = _versions(place)
        newer = {name: at for name, at in carried.versions.items() if at > known.get(name, 0)}
        for name in newer:
            _replace(place / name, carried.contents[name])
        if newer:
            (place / VERSIONS).write_text(json.dumps(known | newer))


def _versions(folder: Path) -> dict[str, int]:
    try:
        found = json.loads((folder / VERSIONS).read_text() or "{}")
    except ValueError:  # a worker was killed while it wrote: the secrets are written again
        return {}
    return found if isinstance(found, dict) else {}


def _replace(path: Path, content: bytes) -> None:
    """Replace a secret at once. No other user can read it, at any time."""
    with suppress(FileNotFoundError):
        if path.read_bytes() == content:  # clients look at the file's time and would connect again
            return
    write_private(path, content)
