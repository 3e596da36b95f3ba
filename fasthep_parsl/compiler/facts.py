"""Check that every dataset has the facts that expressions use (``dataset.xsec``)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fasthep_parsl.compiler.fields import narrow
from fasthep_parsl.compiler.stages import CheckedStage
from fasthep_parsl.errors import Hint, Problem, suggest
from fasthep_parsl.interfaces import ParamPath
from fasthep_parsl.ops.expressions import ExpressionError, expression
from fasthep_parsl.workflow.datasets import ResolvedDataset
from fasthep_parsl.workflow.yamldoc import Document, KeyPath, problem

NOT_EXPRESSIONS = frozenset({"name", "id", "title", "label", "unit", "output", "type", "path"})


def check_facts(
    stages: Sequence[CheckedStage], datasets: Sequence[ResolvedDataset], document: Document
) -> list[Problem]:
    """Return a problem for each ``dataset.<key>`` that a dataset lacks.

    Only the package's own ops are checked: which of their parameters are expressions is known.
    """
    found: list[Problem] = []
    for item in stages:
        mine = [dataset for dataset in datasets if item.datasets is None or dataset.name in item.datasets]
        for path, text in texts_of([item]):
            for key in _facts(text):
                lacking = [dataset for dataset in mine if key not in dataset.facts]
                if lacking:
                    found.append(_problem(key, lacking, mine, path, document))
    return found


def texts_of(stages: Sequence[CheckedStage]) -> Iterator[tuple[KeyPath, str]]:
    """Yield the parameters of the package's own ops that may be expressions with ``dataset.``, with their key paths."""
    for item in stages:
        if not item.module and item.op.name.startswith("hep."):
            yield from ((item.at(path), text) for path, text in _texts(item.stage.params, ()))


def _texts(value: Any, path: ParamPath) -> Iterator[tuple[ParamPath, str]]:
    """Yield the texts in `value` that may be expressions with ``dataset.``, with their key paths."""
    if isinstance(value, str):
        if "dataset." in value:
            yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            if key not in NOT_EXPRESSIONS:
                yield from _texts(item, (*path, key))
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from _texts(item, (*path, number))


def _facts(text: str) -> list[str]:
    try:
        return sorted(expression(text).meta)
    except ExpressionError:  # reported with the stage
        return []


def _problem(
    key: str, lacking: list[ResolvedDataset], datasets: Sequence[ResolvedDataset], path: KeyPath, document: Document
) -> Problem:
    names = ", ".join(f"`{dataset.name}`" for dataset in lacking[:3]) + (" …" if len(lacking) > 3 else "")
    known = {name for dataset in lacking for name in dataset.facts}
    hint: Hint = suggest(key, known, what="known")
    if len(lacking) < len(datasets):
        what = "era: …" if key == "era" else f"meta: {{{key}: …}}"
        hint = f"add `{what}` to them, or to `data.defaults` for all datasets"
    message = f"no `{key}` in the `meta` of dataset{'s' if len(lacking) > 1 else ''} {names}"
    return narrow(problem(document, path, "E152", message, hint, name=key), f"dataset.{key}", path, document)
