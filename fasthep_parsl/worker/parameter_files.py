"""Files that parameters name, on a worker: find the copies and verify them, once per worker."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from fasthep_parsl.analysis_code.data_files import UnusableFileError, is_copy
from fasthep_parsl.errors import ConfigError, Problem
from fasthep_parsl.interfaces import FileLookup, ParamPath
from fasthep_parsl.plan import Plan, PlanParameterFile


class ParameterFiles:
    """The files of a plan.

    Parameters
    ----------
    plan : Plan
        The plan.
    code : Path
        ``code`` of the run directory, with the copies.
    """

    def __init__(self, plan: Plan, code: Path) -> None:
        self._code = code
        self._of = {(use.stage, use.key, use.text): file for file in plan.parameter_files for use in file.uses}
        self._verified: set[str] = set()

    def of(self, stage: str) -> FileLookup:
        """Return how to find the files of a stage. The original files are not needed."""
        return partial(self._find, stage)

    def _find(self, stage: str, path: ParamPath, text: str, *, folder: bool) -> Path:
        planned = self._of.get((stage, path, text)) or self._of.get((stage, path, ""))
        if planned is None or planned.folder != folder:
            message = f"stage `{stage}` names the file `{text}`, which is not in the plan"
            raise ConfigError(Problem("E113", message, hint="run again"))
        copy = self._code / planned.place
        if planned.place not in self._verified:
            _verify(copy, planned)
            self._verified.add(planned.place)
        return copy


def _verify(copy: Path, planned: PlanParameterFile) -> None:
    """Raise `ConfigError` if a copy does not have the content of the plan."""
    noun = "folder" if planned.folder else "file"
    try:
        if is_copy(copy, planned):
            return
        reason = "it was edited after the plan was made, or is damaged"
    except UnusableFileError as error:
        reason = f"it {error.message}"
    except OSError as error:
        reason = f"{error.strerror}"
    message = f"the copy of {noun} `{planned.name}` on this worker differs from the plan: {reason} ({copy})"
    raise ConfigError(Problem("E113", message, hint="run again"))
