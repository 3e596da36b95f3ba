"""Write files atomically: they are complete or absent."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from fasthep_parsl.room import writing_to

DRAFTS = Path("work", "drafts")
"""Folder in a run directory for files that are being written. What a killed process leaves there is removed at the end of
the run, or when it is resumed."""
_DEPTH = 5
"""Parent folders of a file that are searched for the run directory."""


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a path to write to; it becomes `path` if the block succeeds, else it is removed.

    The draft is in `DRAFTS` of the run directory of `path`, else in the folder of `path`.

    Parameters
    ----------
    path : Path
        The final file; its folder is created if necessary.

    Raises
    ------
    OSError
        The folder is not writable. `path` is unchanged.
    DiskFullError
        The disk is full (a subclass of `OSError`).
    """
    with writing_to(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = _draft(path)
        try:
            yield draft
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)


def _draft(path: Path) -> Path:
    """Return a unique name with the suffix of `path`, which some writers use to choose the format."""
    token = secrets.token_hex(6)
    for folder in islice(path.absolute().parents, _DEPTH):
        drafts = folder / DRAFTS
        if drafts.is_dir() and drafts.stat().st_dev == path.parent.stat().st_dev:
            return drafts / f"{path.stem}.{token}{path.suffix}"
    return path.with_name(f".{path.stem}.{token}{path.suffix}")


def write_text(path: Path, text: str) -> Path:
    """Write `text` (UTF-8, line ends unchanged) to `path` atomically and return `path`."""
    with atomic(path) as draft:
        draft.write_bytes(text.encode())
    return path


def write_private(path: Path, content: bytes, *, newer_than: int = 0) -> None:
    """Replace a file at once. No other user can read it, at any time; its draft is beside it.

    Parameters
    ----------
    path : Path
        The file; its folder exists.
    content : bytes
        What is written, to the disk.
    newer_than : int
        The file gets a later modification time, ns, also if the clock is coarse or was set back.

    Raises
    ------
    OSError
        It cannot be written. `path` is unchanged.
    """
    draft = path.with_name(f".{secrets.token_hex(6)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if draft.stat().st_mtime_ns <= newer_than:
            os.utime(draft, ns=(newer_than + 1000, newer_than + 1000))
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def open_drafts(run_dir: Path) -> None:
    """Make an empty folder for drafts; remove what a killed process has left."""
    close_drafts(run_dir)
    (run_dir / DRAFTS).mkdir(parents=True)


def close_drafts(run_dir: Path) -> None:
    """Remove the folder for drafts, at the end of a run."""
    shutil.rmtree(run_dir / DRAFTS, ignore_errors=True)
