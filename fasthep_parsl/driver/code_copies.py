"""Copies of analysis code in the run directory. Their content is that of the plan, else they are not made."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import IO

from fasthep_parsl.analysis_code.data_files import hash_file
from fasthep_parsl.analysis_code.finder import edited
from fasthep_parsl.atomic import atomic
from fasthep_parsl.plan import Plan

_PIECE = 1 << 20


def copy_code(plan: Plan, folder: Path) -> None:
    """Copy analysis code and its data to `folder`. The bytes that are written are those that are compared with the plan.

    Raises
    ------
    ConfigError
        A file was edited or removed after the plan was made. Its copy is not made.
    OSError
        A copy cannot be written.
    """
    for file in plan.code:
        with _opened(Path(file.path)) as original, atomic(folder / file.name) as draft:
            if _write(original, draft) != file.sha256:
                raise edited(file.path)
    for file in plan.files:
        if not Path(file.name).is_file():
            raise edited(file.name, "was removed")
        if hash_file(Path(file.name)) != file.sha256:
            raise edited(file.name)


def _opened(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise edited(path, "was removed") from None


def _write(original: IO[bytes], draft: Path) -> str:
    """Write a file and return the hash of what was written."""
    written = hashlib.sha256()
    with draft.open("wb") as copy:
        while piece := original.read(_PIECE):
            written.update(piece)
            copy.write(piece)
    return written.hexdigest()
