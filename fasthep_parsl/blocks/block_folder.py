"""The folder of a block for temporary files: its own, and gone with its last process, however that ends.

multiprocessing has a process for that, the *resource tracker*: it outlives all others of a block, and removes what they
have registered and not removed. It is told of the folder before the folder is made. Should it be killed as well, as when
a whole node is reset, a later block on the same machine removes the folder.
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
"""What the resource tracker calls it."""


class BlockFolder:
    """A folder that only this user can enter, as ``TMPDIR`` of this process and of those that it starts from now on.

    Made in two steps: the resource tracker must start in between, and know by then what to remove.
    """

    def __init__(self) -> None:
        self.path = Path(tempfile.gettempdir(), _family() + secrets.token_hex(4))
        self._folder = -1
        path = self.path
        resource_tracker._CLEANUP_FUNCS[KIND] = lambda _name: shutil.rmtree(path, ignore_errors=True)  # type: ignore[attr-defined]

    def make(self) -> None:
        """Make the folder, and remove those of blocks that are dead."""
        resource_tracker.register(KIND, KIND)
        while not self._made():  # a block that begins at the same moment may have taken it for a dead one's
            pass
        sweep()
        os.environ["TMPDIR"] = tempfile.tempdir = str(self.path)

    def _made(self) -> bool:
        """Make the folder and lock it until this process ends; return whether it is there."""
        self.path.mkdir(mode=0o700, exist_ok=True)
        with suppress(OSError):  # it is not there any more, or the file system has no locks
            self._folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(self._folder, fcntl.LOCK_EX)
        return self.path.exists() and os.path.samestat(self.path.stat(), os.fstat(self._folder))

    def remove(self) -> None:
        """Remove it now: a batch system ends what is left of a job when its first process has ended."""
        shutil.rmtree(self.path, ignore_errors=True)

    @contextmanager
    def for_sockets(self) -> Iterator[None]:
        """Let multiprocessing put sockets into it, whose paths must have at most 107 characters; the folder's may be long."""
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
    """Remove the folders of blocks that were killed on this machine with all that could have removed them."""
    for path in Path(tempfile.gettempdir()).glob(f"{glob.escape(_family())}*"):
        _remove_if_left(path)


def _remove_if_left(path: Path) -> None:
    """Remove a folder if it is ours, and no process holds its lock any more."""
    try:
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return
    with suppress(OSError):
        if os.fstat(folder).st_uid == os.getuid():
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)
    os.close(folder)
