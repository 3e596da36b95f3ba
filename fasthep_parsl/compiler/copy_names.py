"""The ids of copies: files of a run are named after them. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from fasthep_parsl.compiler.stages import CheckedStage
from fasthep_parsl.errors import Problem
from fasthep_parsl.workflow.yamldoc import Document, problem

LONGEST_COPY = 240
"""Most bytes of the id of a copy. File names have at most 255 bytes, and the number of a task and an ending follow."""


def long_ids(stages: Iterable[CheckedStage], document: Document) -> list[Problem]:
    """Return a problem for each stage with a copy whose id is too long for the name of a file: one per stage.

    Parameters
    ----------
    stages : iterable of CheckedStage
        All stages that run.
    document : Document
        The workflow.
    """
    found: dict[str, Problem] = {}
    for item in stages:
        size = len(item.stage.id.encode())
        if size <= LONGEST_COPY or item.nominal in found:
            continue
        parts = [f"region `{item.region}`"] if item.region else []
        parts += [f"variation `{item.variation}`"] if item.variation else []
        message = (
            f"the id of stage `{item.nominal}` in {' and '.join(parts)} has {size} bytes, with at most {LONGEST_COPY}"
        )
        hint = "files are named after it: shorten the id of the stage, or the names of the region and the variation"
        at = (*item.path, "id")
        found[item.nominal] = problem(document, at if document.has(at) else item.path, "E106", message, hint)
    return list(found.values())
