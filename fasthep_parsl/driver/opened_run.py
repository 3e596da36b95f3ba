"""Open a run directory in Python: complete, partial, killed or still running."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from fasthep_parsl.driver.run_view import RunView
from fasthep_parsl.errors import IncompleteRunWarning
from fasthep_parsl.results.stored import stored_results


@dataclass(frozen=True, repr=False)
class Run(RunView):
    """A run directory. ``run["MuonPt"]`` is a histogram.

    Attributes
    ----------
    run_dir : Path
        The run directory.
    status : str
        ``complete``, ``partial``, ``failed``, ``interrupted``; of a run without an end ``running``, ``killed`` or
        ``not ended``.
    summary : dict
        The content of ``run.json``; empty if the run has not ended.
    """

    run_dir: Path
    status: str
    summary: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def _read(self) -> dict[tuple[str, str], Any]:
        return stored_results(self.run_dir, self.plan)

    def _results(self) -> Mapping[tuple[str, str], Any]:
        return self._read


def open_run(run_dir: str | Path) -> Run:
    """Open a run directory, also while the run works or after it was killed.

    Parameters
    ----------
    run_dir : str or Path
        The run directory: `outdir` of `run`.

    Returns
    -------
    Run
        What is in the folder now.

    Warns
    -----
    IncompleteRunWarning
        The run is not complete: results, if there are any, lack events.

    Raises
    ------
    ConfigError
        The folder has no run.
    """
    path = Path(run_dir).expanduser().absolute()
    found = Run(path, "")
    verdict = found._report().verdict
    summary: dict[str, Any] = {}
    if verdict.status in ("complete", "partial", "failed", "interrupted") and (path / "run.json").is_file():
        summary = json.loads((path / "run.json").read_bytes())
    if verdict.tone != "good":
        warnings.warn(f"{path}: {verdict.headline}", IncompleteRunWarning, stacklevel=2)
    return Run(path, verdict.status, summary)
