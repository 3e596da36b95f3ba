"""Read a workflow file: includes, layers of a site, ``--set``; every mistake is found at once and located."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from pydantic import ValidationError

from fasthep_parsl.errors import ConfigError, Problem
from fasthep_parsl.workflow.includes import load_document
from fasthep_parsl.workflow.model import Workflow
from fasthep_parsl.workflow.overrides import apply_override
from fasthep_parsl.workflow.parse import load_file
from fasthep_parsl.workflow.spellings import check_model, normalise, refuse_foreign
from fasthep_parsl.workflow.translate import problems_of
from fasthep_parsl.workflow.yamldoc import Document, merge, refuse


@dataclass(frozen=True)
class LoadedWorkflow:
    """A workflow and where everything in it stands.

    Attributes
    ----------
    workflow : Workflow
        The validated values.
    document : Document
        The merged document: marks for messages, layers for ``plan --explain``. Its paths are those of the model:
        ``("analysis", "stages", i)`` is ``workflow.analysis.stages[i]``.
    path : Path
        The workflow file.
    warnings : tuple of Problem
        What was accepted but has no effect.
    """

    workflow: Workflow
    document: Document
    path: Path
    warnings: tuple[Problem, ...] = ()


@cache
def package_defaults() -> Document:
    """Return the package's defaults of ``execution:``, as the lowest layer."""
    return load_file(Path(__file__).with_name("defaults.yaml"), "package defaults")


def load_workflow(path: Path, *, layers: Sequence[Document] = (), overrides: Sequence[str] = ()) -> LoadedWorkflow:
    """Read, merge and check a workflow.

    Precedence, lowest first: package defaults, the workflow's ``execution:``, `layers`, `overrides`.

    Parameters
    ----------
    path : Path
        The workflow file.
    layers : sequence of Document
        Execution layers of a site, lowest first: their top level is the content of ``execution:``.
    overrides : sequence of str
        Settings ``key=value``; see `resolve_key` for keys.

    Raises
    ------
    ConfigError
        With every mistake in the file, each located.
    """
    document = load_document(Path(path), "workflow")
    document, problems = refuse_foreign(document)
    document, warnings = normalise(document)
    below = package_defaults().under("execution")
    document = replace(merge(below, document), path=str(path), files=document.files)
    for layer in layers:
        document = replace(merge(document, layer.under("execution")), path=str(path))
    for text in overrides:
        try:
            document = apply_override(document, text)
        except ConfigError as error:
            problems += error.problems
    try:
        workflow = Workflow.model_validate(document.data)
    except ValidationError as error:
        problems += problems_of(error, Workflow, document)
        raise refuse(*problems) from None
    problems += check_model(workflow, document)
    if problems:
        raise refuse(*problems)
    return LoadedWorkflow(workflow, document, Path(path), warnings)
