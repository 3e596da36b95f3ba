"""Files that exist completely or not at all."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from fasthep_parsl.room import writing_to

DRAFTS = Path("work", "drafts")
"""In a run directory: where all its files are written before they appear under their names. A process that is killed
while it writes leaves nothing elsewhere, and what is in here goes with the end of the run, or when it is resumed."""
_DEPTH = 5
"""How far above a file we look for the run directory."""


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a path to write to; it becomes `path` if the block succeeds, else it is removed.

    It lies among the drafts of the run directory that `path` is in, else beside `path`.

    Parameters
    ----------
    path : Path
        The final file; its folder is made if it does not exist.

    Raises
    ------
    OSError
        The folder is not writable; `path` is then as it was.
    DiskFullError
        There is no room, an `OSError` too.
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
    """Return a name that no other process has; its suffix is that of `path`, as some writers choose the format by it."""
    token = secrets.token_hex(6)
    for folder in islice(path.absolute().parents, _DEPTH):
        drafts = folder / DRAFTS
        if drafts.is_dir() and drafts.stat().st_dev == path.parent.stat().st_dev:
            return drafts / f"{path.stem}.{token}{path.suffix}"
    return path.with_name(f".{path.stem}.{token}{path.suffix}")


def write_text(path: Path, text: str) -> Path:
    """Write `text` (UTF-8, line ends as given) to `path` atomically and return `path`."""
    with atomic(path) as draft:
        draft.write_bytes(text.encode())
    return path


def open_drafts(run_dir: Path) -> None:
    """Make an empty folder for drafts; what a killed process has left in it goes."""
    close_drafts(run_dir)
    (run_dir / DRAFTS).mkdir(parents=True)


def close_drafts(run_dir: Path) -> None:
    """Remove the folder for drafts, once nothing of the run is written any more."""
    shutil.rmtree(run_dir / DRAFTS, ignore_errors=True)
