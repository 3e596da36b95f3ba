"""Outcome of a run: its status, products and summary, and an exception for runs that are not complete."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fasthep_parsl.driver.run_view import RunView
from fasthep_parsl.errors import IncompleteRunError
from fasthep_parsl.events import RunStatus
from fasthep_parsl.plan.plan import extent_of

EXIT_CODES: Mapping[RunStatus, int] = {"complete": 0, "failed": 1, "partial": 3, "interrupted": 130}


@dataclass(frozen=True, repr=False)
class RunOutcome(RunView):
    """Outcome of a run. ``outcome["MuonPt"]`` is a histogram; a notebook shows verdict, plots and cutflows.

    Attributes
    ----------
    status : str
        ``complete``, ``partial`` (some events are missing, results of the others are written), ``failed`` or
        ``interrupted``.
    exit_code : int
        0, 3, 1 or 130. It is 4 if jobs were left in the queue of a batch system (`summary["left"]`).
    run_dir : Path
        The run directory.
    products : dict
        (stage id, product name) → product.
    summary : dict
        The content of ``run.json``.
    error : str
        Why the run is not complete, empty if it is.
    """

    status: RunStatus
    exit_code: int
    run_dir: Path
    products: dict[tuple[str, str], Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    error: str = ""

    @property
    def last_line(self) -> str:
        """Status, events, time and rate; of a limited run also which events they are."""
        events, seconds = self.summary["events"], self.summary["seconds"]
        rate = events["done"] / max(seconds, 1e-9)
        extent = extent_of(self.summary.get("limit"))
        status = f"{self.status}: {extent}" if extent else self.status
        return f"{status}: {events['done']:,} of {events['total']:,} events in {seconds:.1f} s ({rate:,.0f}/s)"

    def _results(self) -> Mapping[tuple[str, str], Any]:
        return self.products


def why_incomplete(summary: Mapping[str, Any]) -> str:
    """Return why a run is not complete, from the content of ``run.json``; empty if it is complete."""
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


def raise_unless_complete(outcome: RunOutcome) -> None:
    """Raise unless a run is complete. Warn if jobs are left.

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
        interrupted.add_note(f"interrupted: {done}; `mode='resume'` continues the run")
        raise interrupted
    raise IncompleteRunError(f"{outcome.status}: {outcome.error}; {done}", outcome)
