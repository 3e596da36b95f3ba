"""Files that exist completely or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; it becomes `path` if the block succeeds, else it is removed.

    Parameters
    ----------
    path : Path
        The final file; its folder is made if it does not exist.

    Raises
    ------
    OSError
        The folder is not writable or the disk is full; `path` is then as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays last: some writers choose the format by it.
    draft = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield draft
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> Path:
    """Write `text` (UTF-8, line ends as given) to `path` atomically and return `path`."""
    with atomic(path) as draft:
        draft.write_bytes(text.encode())
    return path
