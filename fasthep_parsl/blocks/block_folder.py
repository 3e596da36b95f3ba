"""The block folder: temporary files of a block. It is removed with the block's last process, however that ends.

multiprocessing's *resource tracker* outlives all other processes of a block. It removes resources that they registered
and did not remove. The folder is registered before it is made. If the resource tracker is killed too, for example because
the node is reset, a later block on the same machine removes the folder.
"""

from __future__ import annotations

import fcntl
import glob
import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import process, resource_tracker
from pathlib import Path

KIND = "folder"
"""Type of resource, for the resource tracker."""


class BlockFolder:
    """A private folder. It becomes ``TMPDIR`` of this process and of the processes that it starts later.

    The constructor registers how to remove it. The resource tracker must start next, before `make`.
    """

    def __init__(self) -> None:
        self.path = Path(tempfile.gettempdir(), _family() + secrets.token_hex(4))
        self._folder = -1
        path = self.path
        resource_tracker._CLEANUP_FUNCS[KIND] = lambda _name: shutil.rmtree(path, ignore_errors=True)  # type: ignore[attr-defined]

    def make(self) -> None:
        """Make the folder, and remove the folders of dead blocks."""
        resource_tracker.register(KIND, KIND)
        while not self._made():  # a block that starts at the same moment can have removed it as a dead block's
            pass
        sweep()
        os.environ["TMPDIR"] = tempfile.tempdir = str(self.path)

    def _made(self) -> bool:
        """Make the folder and lock it until this process ends; return whether it still exists."""
        self.path.mkdir(mode=0o700, exist_ok=True)
        with suppress(OSError):  # it has been removed, or the file system has no locks
            self._folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(self._folder, fcntl.LOCK_EX)
        return self.path.exists() and os.path.samestat(self.path.stat(), os.fstat(self._folder))

    def remove(self) -> None:
        """Remove the folder now: a batch system kills the other processes of a job when its first process ends."""
        shutil.rmtree(self.path, ignore_errors=True)

    @contextmanager
    def for_sockets(self) -> Iterator[None]:
        """Make multiprocessing create its sockets here. Their paths are short: the limit is 107 characters."""
        config = process.current_process()._config  # type: ignore[attr-defined]
        config["tempdir"] = str(self.path)
        if Path("/proc/self/fd").is_dir():
            config["tempdir"] = f"/proc/self/fd/{self._folder}"
        try:
            yield
        finally:
            del config["tempdir"]


def _family() -> str:
    return f"fasthep-parsl-{os.getuid()}-{socket.gethostname()}-"


def sweep() -> None:
    """Remove folders on this machine whose blocks and resource trackers were killed."""
    for path in Path(tempfile.gettempdir()).glob(f"{glob.escape(_family())}*"):
        _remove_if_left(path)


def _remove_if_left(path: Path) -> None:
    """Remove a folder if it belongs to this user and no process has locked it."""
    try:
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return
    with suppress(OSError):
        if os.fstat(folder).st_uid == os.getuid():
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)
    os.close(folder)
