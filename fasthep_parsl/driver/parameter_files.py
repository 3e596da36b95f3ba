"""Copy the files that parameters name to the run directory."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from fasthep_parsl.analysis_code.data_files import is_copy
from fasthep_parsl.atomic import atomic
from fasthep_parsl.errors import ConfigError, Problem
from fasthep_parsl.plan import Plan, PlanParameterFile

_READ_ONLY = 0o444
_BLOCK = 1 << 20


def copy_parameter_files(plan: Plan, code: Path) -> None:
    """Copy files to `code` of the run directory, read-only. Their content must be that of the plan.

    A hard link would change with a file that is edited in place, so these are copies. File systems that can share the
    blocks of two files need no space for them.

    Raises
    ------
    ConfigError
        A file was edited or removed after the plan was made.
    OSError
        A copy cannot be written.
    """
    for item in plan.parameter_files:
        target = code / item.place
        with suppress(OSError):
            if is_copy(target, item):
                continue
        if target.is_dir():
            shutil.rmtree(target)
        for source, copy, sha256 in _files(item, target):
            _copy(source, copy, sha256)


def _files(item: PlanParameterFile, target: Path) -> Iterator[tuple[Path, Path, str]]:
    """Yield original, copy and hash of each file."""
    source = Path(item.path)
    if not item.folder:
        yield source, target, item.sha256
    for file in item.files:
        yield source / file.name, target / file.name, file.sha256


def _copy(source: Path, target: Path, sha256: str) -> None:
    with atomic(target) as draft:
        try:
            original = source.open("rb")
        except OSError as error:
            message = f"`{source}` cannot be read since the plan was made: {error.strerror}"
            raise ConfigError(Problem("E113", message, hint="run again")) from None
        with original, draft.open("wb+") as copy:
            _copy_content(original, copy)
            copy.seek(0)
            if hashlib.file_digest(copy, "sha256").hexdigest() != sha256:
                raise ConfigError(Problem("E113", f"`{source}` was edited after the plan was made", hint="run again"))
        draft.chmod(_READ_ONLY)


def _copy_content(source: BinaryIO, copy: BinaryIO) -> None:
    """Copy all bytes, in the kernel if it can."""
    size, done = os.fstat(source.fileno()).st_size, 0
    with suppress(OSError, AttributeError):  # not for these file systems, or not on this platform
        while done < size:
            count = os.copy_file_range(source.fileno(), copy.fileno(), size - done)
            done += count
            if not count:
                break
    if done < size:
        source.seek(0)
        copy.seek(0)
        copy.truncate()
        shutil.copyfileobj(source, copy, _BLOCK)
