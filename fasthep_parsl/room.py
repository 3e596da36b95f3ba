"""Full disks: errors that name the folder, and reserved space so that a run can write its summary."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TypeGuard

from fasthep_parsl.errors import FastHepError

_FULL = {
    errno.ENOSPC: "the disk of {} is full: free some space",
    errno.EDQUOT: "the quota of {} is used up: free some space",
}


class DiskFullError(FastHepError, OSError):
    """A disk is full, or a quota is used up.

    Parameters
    ----------
    message : str
        The reason, with the folder.
    folder : str
        The folder that has no space.
    """

    def __init__(self, message: str, folder: str = "") -> None:
        super().__init__(message, folder)
        self.folder = folder
        self.errno = errno.ENOSPC
        self.strerror = message

    def __str__(self) -> str:
        return str(self.args[0])


def is_full(error: BaseException | None) -> TypeGuard[OSError]:
    """Return whether an error means that a disk is full or a quota is used up."""
    return isinstance(error, OSError) and error.errno in _FULL


def full_message(error: OSError, folder: Path | str = "") -> str:
    """Return a message that a disk is full, with `folder` or the file of the error."""
    if isinstance(error, DiskFullError):
        return str(error)
    where = str(folder or error.filename or "this machine")
    return _FULL[error.errno or errno.ENOSPC].format(where)


@contextlib.contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Raise `DiskFullError` with the name of `folder` if the block fails because the disk is full."""
    try:
        yield
    except DiskFullError:
        raise
    except OSError as error:
        if not is_full(error):
            raise
        raise DiskFullError(full_message(error, folder), str(folder)) from error


class Reserve:
    """A file that reserves disk space for the summary of a run.

    Parameters
    ----------
    path : Path
        The file; its folder exists.
    size : int
        Bytes.

    Raises
    ------
    DiskFullError
        The disk is full.
    """

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        try:
            with writing_to(path.parent), path.open("wb") as file:
                file.write(os.urandom(size))  # some file systems do not keep zeros
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            self.release()
            raise

    def release(self) -> None:
        """Remove the file."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
