"""Failures of partitions and merges, with the line of the user's code."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fasthep_parsl.errors import OpError
from fasthep_parsl.interfaces import InputFault, InputFileError
from fasthep_parsl.room import full_message, is_full
from fasthep_parsl.tasks import Failure, FailureCause
from fasthep_parsl.worker.partials import StoreError
from fasthep_parsl.worker.program import StageError

REFUSED: tuple[InputFault, ...] = ("not_authenticated", "not_permitted")
"""Causes of errors of input files that a fresh credential can heal."""


OF_FILE: tuple[InputFault, ...] = (*REFUSED, "not_found", "unreachable", "stalled")
"""Causes that are the same for all parts of a file."""


def concerns_file(error: BaseException) -> bool:
    """Return whether an error is the same for each part of an input file, so that dividing the work is of no use."""
    return isinstance(error, InputFileError) and error.cause in OF_FILE


def is_refused(error: BaseException | None) -> bool:
    """Return whether the server of an input file has refused the credential of this worker."""
    cause = error.__cause__ if isinstance(error, StageError) else error
    return isinstance(cause, InputFileError) and cause.cause in REFUSED


def failure_of(partition: int, error: Exception) -> Failure:
    """Return the failure of a partition, with the line of the user's code."""
    stage, module = (error.stage, error.module) if isinstance(error, StageError) else ("", "")
    cause = error.__cause__ if isinstance(error, StageError) and error.__cause__ is not None else error
    frames = traceback.extract_tb(cause.__traceback__)
    mine = [f for f in frames if module and Path(f.filename).name == module]
    ours = mine or [f for f in frames if "fasthep_parsl" in f.filename] or frames
    where = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours and stage else ""
    if isinstance(error, StageError) and not mine and error.place:  # the returned value is wrong
        where = error.place
    data = isinstance(cause, InputFileError | StoreError)
    plain = data or type(cause) is OpError  # its message is complete
    message = str(cause) if plain else f"{type(cause).__name__}: {cause}"
    if is_full(cause):
        message = full_message(cause)
    detail = "".join(traceback.format_exception(cause))
    return Failure(partition, _kind(cause), stage, message.splitlines()[0][:500], where, detail[-8000:])


def _kind(cause: BaseException) -> FailureCause:
    if isinstance(cause, InputFileError | StoreError):
        return "credential" if is_refused(cause) else "data"
    return "infrastructure" if is_full(cause) or isinstance(cause, MemoryError) else "user"


def merge_failure(stage: str, op: str, merge: Callable[..., Any], module: str, error: Exception) -> Failure:
    """Return the failure of a merge, with the line of the user's `merge`."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not module or Path(f.filename).name == module]
    code = getattr(merge, "__code__", None)
    where = f"{Path(code.co_filename).name}:{code.co_firstlineno}" if code else ""
    if frames and (module or Path(frames[-1].filename).parent != Path(__file__).parent):
        where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}"
    text = str(error) if isinstance(error, OpError) else f"{type(error).__name__}: {error}"
    message = f"merge of op `{op}`: {text}".splitlines()[0][:500]
    detail = "".join(traceback.format_exception(error))
    return Failure(-1, "user", stage, message, where, detail[-8000:])


def unwritable(stage: str, op: str, error: Exception) -> Failure:
    """Return the failure of a stage whose product cannot be pickled."""
    message = f"the product of op `{op}` cannot be pickled: {type(error).__name__}: {error}".splitlines()[0][:500]
    return Failure(-1, "user", stage, message, "", "".join(traceback.format_exception(error))[-8000:])
