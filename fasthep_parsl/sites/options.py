"""Options of the strategy for each queue: the strategy's fields, overlaid by the options of the queue."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from pydantic import BaseModel, ValidationError

from fasthep_parsl import registry
from fasthep_parsl.errors import Problem, suggest
from fasthep_parsl.workflow.execution_model import Execution
from fasthep_parsl.workflow.translate import problems_of
from fasthep_parsl.workflow.yamldoc import Document, KeyPath, problem


def is_batch(strategy: str) -> bool:
    """Return whether workers of a strategy are jobs of a batch system; False if there is no such strategy."""
    return strategy in registry.names("strategies") and bool(registry.load("strategies", strategy).batch)


def strategy_options(
    execution: Execution, document: Document, at: KeyPath = ("execution",)
) -> tuple[dict[str, dict[str, Any]], list[Problem]]:
    """Return queue → the strategy's options, without defaults, and the problems.

    Parameters
    ----------
    execution : Execution
        The strategy and the queues.
    document : Document
        Places the problems.
    at : tuple
        Key path of the content of ``execution:`` in `document`.

    Returns
    -------
    tuple
        The queue ``""`` is for a site without queues, and for workers without a batch system. Queues with problems are
        left out.
    """
    kind = execution.strategy
    if kind.kind not in registry.names("strategies"):
        hint = suggest(kind.kind, registry.names("strategies"), what="strategies")
        message = f"unknown strategy `{kind.kind}`"
        return {}, [problem(document, (*at, "strategy", "kind"), "E110", message, hint, name=kind.kind)]
    model: type[BaseModel] = registry.load("strategies", kind.kind)
    queues: Mapping[str, Mapping[str, Any]] = {}
    if is_batch(kind.kind):  # workers of this machine have no queues, even if the site has some
        queues = {name: queue.options for name, queue in execution.queues.items()}
    options: dict[str, dict[str, Any]] = {}
    problems: dict[Problem, None] = {}
    for name, own in (queues or {"": {}}).items():
        try:
            made = model.model_validate(_overlaid(kind.params, own))
        except ValidationError as error:
            problems.update(dict.fromkeys(problems_of(error, model, document, partial(_key_path, at, name, own))))
        else:
            options[name] = made.model_dump(mode="json", exclude_defaults=True)
    return options, list(problems)


def _overlaid(low: Mapping[str, Any], high: Mapping[str, Any]) -> dict[str, Any]:
    """Return `high` over `low`. Mappings are merged at every depth, as in profiles."""
    merged = dict(low)
    for key, value in high.items():
        below = merged.get(key)
        merged[key] = _overlaid(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def _key_path(at: KeyPath, queue: str, own: Mapping[str, Any], loc: KeyPath) -> KeyPath:
    """Return the key path of a field: in the options of the queue if they contain it, else in the strategy."""
    inside = loc and loc[0] in own
    return (*at, "queues", queue, "options") if inside else (*at, "strategy")
