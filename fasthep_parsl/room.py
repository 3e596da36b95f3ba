"""Full disks: said in words, with the folder, and room kept back so that a run can end in order."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TypeGuard

from fasthep_parsl.errors import FastHepError

_FULL = {
    errno.ENOSPC: "the disk of {} is full: make room there",
    errno.EDQUOT: "the quota of {} is used up: make room there",
}


class DiskFullError(FastHepError, OSError):
    """There is no room left for what has to be written.

    Parameters
    ----------
    message : str
        Which folder.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.errno = errno.ENOSPC
        self.strerror = message

    def __str__(self) -> str:
        return str(self.args[0])


def is_full(error: BaseException | None) -> TypeGuard[OSError]:
    """Return whether an error says that a disk is full or a quota used up."""
    return isinstance(error, OSError) and error.errno in _FULL


def full_words(error: OSError, folder: Path | str = "") -> str:
    """Return in words which disk is full, with `folder` or the file that the error names."""
    if isinstance(error, DiskFullError):
        return str(error)
    where = str(folder or error.filename or "this machine")
    return _FULL[error.errno or errno.ENOSPC].format(where)


@contextlib.contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Raise `DiskFullError`, with the name of `folder`, where the block finds it full."""
    try:
        yield
    except DiskFullError:
        raise
    except OSError as error:
        if not is_full(error):
            raise
        raise DiskFullError(full_words(error, folder)) from error


class Reserve:
    """A file that takes room until it is needed: a run whose disk is full must be able to say so.

    Parameters
    ----------
    path : Path
        The file; its folder exists.
    size : int
        Bytes.

    Raises
    ------
    DiskFullError
        There is not even room for it.
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
        """Give the room back."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
