"""Why a run is not complete: in words, and as an exception for whoever called it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, Protocol

from fasthep_parsl.errors import IncompleteRunError


class Outcome(Protocol):
    """What is said of a run; see `RunOutcome`."""

    @property
    def status(self) -> str:
        """``complete``, ``partial``, ``failed`` or ``interrupted``."""

    @property
    def run_dir(self) -> Any:
        """The run directory."""

    @property
    def summary(self) -> dict[str, Any]:
        """The content of ``run.json``."""

    @property
    def error(self) -> str:
        """Why it is not complete."""


def why(summary: Mapping[str, Any]) -> str:
    """Return why a run is not complete, from the content of ``run.json``; empty if it is."""
    if summary["status"] == "complete":
        return ""
    if summary["error"]:
        return str(summary["error"])
    failures: list[dict[str, Any]] = summary["failures"]
    if failures:
        first = failures[0]
        where = f" ({first['dataset']}: {first['file']})" if "file" in first else ""
        more = f", and {len(failures) - 1} more failures" if len(failures) > 1 else ""
        what = f"stage {first['stage']}" if first["stage"] else "reading"
        return f"{what}: {first['message']}{where}{more}"
    for stages, reason in summary["blocked"].items():
        return f"{stages} did not run: {reason}"
    events = summary["events"]
    return f"{events['total'] - events['done']:,} events are missing"


def insist(outcome: Outcome) -> None:
    """Raise unless a run is complete.

    Raises
    ------
    IncompleteRunError
        It is partial or has failed.
    KeyboardInterrupt
        It was interrupted.
    """
    left = outcome.summary["left"]
    if left:
        jobs = ", ".join(item["job"] for item in left)
        warnings.warn(f"jobs are left in the queue, `fasthep-parsl cleanup` removes them: {jobs}", stacklevel=3)
    if outcome.status == "complete":
        return
    events = outcome.summary["events"]
    done = f"{events['done']:,} of {events['total']:,} events are in {outcome.run_dir}"
    if outcome.status == "interrupted":
        interrupted = KeyboardInterrupt()
        interrupted.add_note(f"interrupted: {done}; `mode='resume'` goes on with it")
        raise interrupted
    raise IncompleteRunError(f"{outcome.status}: {outcome.error}; {done}", outcome)
