"""Load a workflow file with includes, layers of a site and ``--set``. Find all mistakes at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from pydantic import ValidationError

from fasthep_parsl.errors import ConfigError, Problem
from fasthep_parsl.workflow.execution_spellings import respell_execution
from fasthep_parsl.workflow.filesets import respell_filesets
from fasthep_parsl.workflow.includes import load_document
from fasthep_parsl.workflow.joins import respell_joins
from fasthep_parsl.workflow.layers import expand, lay_over, spell_out
from fasthep_parsl.workflow.model import Workflow
from fasthep_parsl.workflow.overrides import apply_override
from fasthep_parsl.workflow.parse import load_file
from fasthep_parsl.workflow.repair import repair
from fasthep_parsl.workflow.sources import check_sources
from fasthep_parsl.workflow.spellings import check_model, normalise, refuse_foreign
from fasthep_parsl.workflow.styles import respell_styles
from fasthep_parsl.workflow.translate import problems_of
from fasthep_parsl.workflow.yamldoc import Document, merge, refuse


@dataclass(frozen=True)
class LoadedWorkflow:
    """A workflow and the places of its values.

    Attributes
    ----------
    workflow : Workflow
        The validated values.
    document : Document
        The merged document, with places for messages and layers for ``plan --explain``. It has the key paths of the
        model: ``("analysis", "stages", i)`` is ``workflow.analysis.stages[i]``.
    path : Path
        The workflow file.
    warnings : tuple of Problem
        Parts of the file that have no effect.
    problems : tuple of Problem
        Mistakes, with ``tolerant=True``. Then `workflow` is a guess and must not be run.
    """

    workflow: Workflow
    document: Document
    path: Path
    warnings: tuple[Problem, ...] = ()
    problems: tuple[Problem, ...] = ()


@cache
def package_defaults() -> Document:
    """Return the package's defaults of ``execution:``, the lowest layer."""
    return load_file(Path(__file__).with_name("defaults.yaml"), "package defaults")


def load_workflow(
    path: Path, *, layers: Sequence[Document] = (), overrides: Sequence[str] = (), tolerant: bool = False
) -> LoadedWorkflow:
    """Read, merge and check a workflow.

    Precedence, lowest first: package defaults, ``execution:`` of the workflow, `layers`, `overrides`. A strategy in
    `layers` replaces that of the workflow completely. Environment variables in `layers` are expanded; see `expand`.

    Parameters
    ----------
    path : Path
        The workflow file.
    layers : sequence of Document
        Layers of a site, lowest first. Their top level is the content of ``execution:``.
    overrides : sequence of str
        Settings ``key=value``; see `resolve_key` for keys.
    tolerant : bool
        Whether to return mistakes in `problems` if the meaning can be guessed, so that the caller can find further
        ones.

    Raises
    ------
    ConfigError
        With every mistake in the file, each located.
    """
    document = load_document(Path(path), "workflow")
    respelled = respell_execution(document, ("execution",))
    document, problems = refuse_foreign(respelled.document)
    problems += respelled.problems
    document, warnings = normalise(document)
    document, of_joins = respell_joins(document)
    warnings += of_joins
    document, wrong = respell_filesets(document)
    problems += wrong
    document, wrong, of_styles = respell_styles(document)
    problems += wrong
    warnings += tuple(of_styles)
    warnings += respelled.warnings
    below = package_defaults().under("execution")
    document = replace(merge(below, spell_out(document, ("execution",))), path=str(path), files=document.files)
    document = replace(lay_over(document, layers), path=str(path))
    for text in overrides:
        try:
            document = apply_override(document, text)
        except ConfigError as error:
            problems += error.problems
    document, unset = expand(document, {layer.root.layer for layer in layers}, ("execution",))
    problems += unset
    try:
        workflow = Workflow.model_validate(document.data)
    except ValidationError as error:
        problems += problems_of(error, Workflow, document)
        document = repair(document, error)
        try:
            workflow = Workflow.model_validate(document.data)
        except ValidationError:
            raise refuse(*problems) from None
        problems += check_sources(workflow, document)[1]
        if not tolerant or check_model(workflow, document):  # its problems may be consequences of what was left out
            raise refuse(*problems) from None
    else:
        found = check_model(workflow, document)
        problems += found
        problems += check_sources(workflow, document)[1]
        tolerant = tolerant and not found
    if problems and not tolerant:
        raise refuse(*problems)
    return LoadedWorkflow(workflow, document, Path(path), warnings, tuple(problems))
