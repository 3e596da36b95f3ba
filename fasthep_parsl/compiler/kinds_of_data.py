"""Find comparisons with facts of datasets that are never true, and data that count as simulation. Neither fails in a run."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, cast, get_args

from fasthep_parsl.compiler.facts import texts_of
from fasthep_parsl.compiler.fields import narrow
from fasthep_parsl.compiler.stages import CheckedStage
from fasthep_parsl.errors import Checked, Problem, suggest
from fasthep_parsl.plan import EventType
from fasthep_parsl.workflow.datasets import ResolvedDataset
from fasthep_parsl.workflow.yamldoc import Document, problem

EVENTTYPES: tuple[str, ...] = get_args(EventType)
_KEYS = {"type", "kind", "sampletype", "datatype", "category", "class"}
_YES = {"isdata", "isrealdata", "realdata", "data"}


def check_comparisons(
    stages: Sequence[CheckedStage], datasets: Sequence[ResolvedDataset], document: Document
) -> Checked[tuple[str, ...]]:
    """Return warnings and problems for each ``dataset.<key> == "text"`` that is never true.

    An unknown eventtype is a mistake, and an era that is compared with a number. An unknown dataset or group is a warning: it may be left out for this run.
    """
    problems: list[Problem] = []
    warnings: dict[str, None] = {}
    for path, text in texts_of(stages):
        for key, value in _compared(text):
            if not isinstance(value, str):
                if key == "era" and any(dataset.era for dataset in datasets):
                    message = f"an era is text, and is never equal to the number {value}"
                    hint = f'write `dataset.era == "{value}"`'
                    problems.append(problem(document, path, "E106", message, hint, name=str(value)))
                continue
            if key == "eventtype" and value not in EVENTTYPES:
                close = suggest(value, EVENTTYPES, what="allowed")
                found = problem(document, path, "E106", f"unknown eventtype `{value}`", close, name=value)
                problems.append(narrow(found, value, path, document))
            known = {str(_fact(dataset, key)) for dataset in datasets}
            if key != "eventtype" and value not in known:
                near = suggest(value, known, what="values")
                warnings[f"`dataset.{key}` is never `{value}`: {near}"] = None
    return Checked(tuple(warnings), tuple(problems))


def hidden_data(datasets: Sequence[ResolvedDataset]) -> list[str]:
    """Return a warning for each dataset that counts as simulation although its facts call it data."""
    found = []
    for dataset in datasets:
        for key, value in dataset.meta.items():
            bare = key.lower().replace("_", "").replace("-", "")
            named = bare in _KEYS and isinstance(value, str) and value.lower() in {"data", "collisions", "collision"}
            if dataset.eventtype != "data" and (named or (bare in _YES and value is True)):
                found.append(f"dataset `{dataset.name}` counts as simulation but has `{key}: {_shown(value)}`; "
                             "if it is data, write `eventtype: data`")  # fmt: skip
    return found


def _shown(value: Any) -> str:
    return "true" if value is True else str(value)


def _fact(dataset: ResolvedDataset, key: str) -> Any:
    return dataset.facts.get(key)


def _compared(text: str) -> Iterator[tuple[str, str | float]]:
    """Yield key and value of each comparison of ``dataset.<key>`` with a text or a number."""
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # reported with the stage
        return
    for node in ast.walk(tree):
        if not isinstance(node, ast.Compare):
            continue
        for pair in pairwise((node.left, *node.comparators)):
            for one, other in (pair, pair[::-1]):
                about = isinstance(one, ast.Attribute) and isinstance(one.value, ast.Name) and one.value.id == "dataset"
                if about and isinstance(other, ast.Constant) and isinstance(other.value, str | int | float):
                    yield cast("ast.Attribute", one).attr, other.value
