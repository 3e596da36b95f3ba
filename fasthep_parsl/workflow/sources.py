"""The sources of a workflow: find their kinds and validate their fields with the models of these kinds."""

from __future__ import annotations

import difflib
from typing import Any

from pydantic import BaseModel, ValidationError, create_model

from fasthep_parsl import registry
from fasthep_parsl.errors import Problem, suggest
from fasthep_parsl.workflow.json_schema import SOURCE_KEYS
from fasthep_parsl.workflow.model import Workflow
from fasthep_parsl.workflow.translate import problems_of
from fasthep_parsl.workflow.yamldoc import Document, KeyPath, problem

Params = dict[str, Any]
"""Fields of a kind of source."""


def check_sources(workflow: Workflow, document: Document) -> tuple[dict[str, Params] | None, list[Problem]]:
    """Return the parameters of the sources that are read, and what is wrong with them.

    Misspelt names are corrected and unknown ones left out, so that the rest of the workflow can be checked. The
    result is None if no file could be read with them.
    """
    join = workflow.join
    others = [item.source for item in join.inputs if item.source in workflow.sources] if join else []
    found: dict[str, Params] = {}
    problems: list[Problem] = []
    names = dict.fromkeys((workflow.source_name, *others))
    for name in names:
        params, wrong = _check_source(workflow, name, document)
        problems += wrong
        if params is not None:
            found[name] = params
    return (found if len(found) == len(names) else None), problems


def _check_source(workflow: Workflow, name: str, document: Document) -> tuple[Params | None, list[Problem]]:
    spec = workflow.sources[name]
    primary = name == workflow.source_name
    known = registry.names("sources")
    if spec.kind not in known:
        hint = suggest(spec.kind, known, what="sources")
        return None, [problem(document, ("sources", name, "kind"), "E110", f"unknown source `{spec.kind}`", hint)]
    model = registry.load("sources", spec.kind)
    problems = [] if "tree" in model.model_fields or not primary else _without_trees(workflow, document, spec.kind)
    trees = [workflow.tree_of(dataset) for dataset in workflow.data.datasets] if primary else []
    elsewhere = {"tree": trees[0]} if trees and all(trees) and "tree" in model.model_fields else {}
    error = _error(model, {**elsewhere, **spec.params})
    if error is None:
        return spec.params, problems
    complete = create_model(model.__name__, __base__=model, **dict.fromkeys(SOURCE_KEYS, (Any, None)))  # type: ignore[call-overload]
    problems += problems_of(error, complete, document, ("sources", name))
    params = _repaired(spec.params, model, error)
    return (None if _error(model, {**elsewhere, **params}) else params), problems


def _error(model: type[BaseModel], params: dict[str, Any]) -> ValidationError | None:
    try:
        model(**params)
    except ValidationError as error:
        return error
    return None


def _repaired(params: dict[str, Any], model: type[BaseModel], error: ValidationError) -> dict[str, Any]:
    """Return parameters with misspelt names corrected, without other unknown names and wrong values."""
    found = dict(params)
    for detail in error.errors(include_url=False, include_context=False, include_input=False):
        name = str(detail["loc"][0]) if detail["loc"] else ""
        value = found.pop(name, None)
        close = difflib.get_close_matches(name, model.model_fields, n=1)
        if detail["type"] == "extra_forbidden" and close:
            found.setdefault(close[0], value)
    return found


def _without_trees(workflow: Workflow, document: Document, kind: str) -> list[Problem]:
    """Return a problem for each tree in `data`, where the format has none."""
    data = workflow.data
    paths: list[KeyPath] = [("data", "defaults")] if data.defaults.tree else []
    paths += [("data", "datasets", number) for number, item in enumerate(data.datasets) if item.tree]
    message = f"source `{kind}` has no `tree`"
    return [problem(document, (*path, "tree"), "E102", message, "remove it", on="key") for path in paths]
