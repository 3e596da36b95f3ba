"""``plan --explain KEY``: print a value, the file and line that set it, and its value in the plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pydantic import BaseModel

from fasthep_parsl.errors import ConfigError, Location, Problem, suggest
from fasthep_parsl.plan import Plan
from fasthep_parsl.resources.units import format_duration, format_memory
from fasthep_parsl.workflow.loader import LoadedWorkflow
from fasthep_parsl.workflow.overrides import resolve_key
from fasthep_parsl.workflow.yamldoc import Document, KeyPath, show_path, walk


def explain_key(loaded: LoadedWorkflow, key: str, compile_plan: Callable[[], Plan]) -> str:
    """Return a value, where it was set, and its value in the plan. A mapping gives one line per value.

    Parameters
    ----------
    loaded : LoadedWorkflow
        The workflow with its layers.
    key : str
        A key path that `resolve_key` accepts: ``pools.gpu.memory``, ``stages[Mass].params``.
    compile_plan : callable
        Compiles the plan. Called only if the plan may change the value.

    Raises
    ------
    ConfigError
        The key is not set and has no default. The hint names keys that are set nearby.
    """
    document = loaded.document
    path = _through_class(document, _path(document, key))
    lines = _set(document, path)
    lines += _planned(loaded, path, compile_plan)
    if not lines:
        lines = _default(loaded, path)
    if not lines:
        parent = document.get(path[:-1])
        known = list(parent.value) if parent is not None and isinstance(parent.value, dict) else []
        hint = suggest(str(path[-1]), known, what="set there") if known else "to see all values, use `plan --json`"
        raise ConfigError(Problem("E109", f"`{key}` is not set and has no default", hint=hint))
    return "\n".join(lines)


def _path(document: Document, key: str) -> KeyPath:
    try:
        return resolve_key(document, key)
    except ConfigError as error:
        shown = f"--explain {key}"
        where = Location(shown, 1, shown.index(key) + 1, len(key))
        raise ConfigError(*(replace(item, where=where) for item in error.problems)) from None


def _through_class(document: Document, path: KeyPath) -> KeyPath:
    """Return the path in the resource class for ``execution.pools.x.resources.memory`` if the pool names a class."""
    if path[:2] == ("execution", "pools") and path[3:4] == ("resources",) and len(path) == 5:
        named = document.get(path[:4])
        if named is not None and isinstance(named.value, str):
            return ("execution", "resources", named.value, path[4])
    return path


def _set(document: Document, path: KeyPath) -> list[str]:
    node = document.get(path)
    if node is None:
        return []
    leaves = [(at, item) for at, item in walk(node, path) if not isinstance(item.value, dict | list) or not item.value]
    return [
        f"{show_path(at)} = {_shown(item.plain())}\n  set by {item.layer}{_place(item.where)}" for at, item in leaves
    ]


def _shown(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value) if not isinstance(value, str) or value else '""'


def _place(where: Location | None) -> str:
    if where is None:
        return ""
    return f" ({where.file})" if where.setting else f" at {where}"


def _planned(loaded: LoadedWorkflow, path: KeyPath, compile_plan: Callable[[], Plan]) -> list[str]:
    """Return the value in the plan if the key is of a pool, the chunk size, or the execution of a stage."""
    pool = path[2] if path[:2] == ("execution", "pools") and len(path) > 2 else None
    stage = path[2] if path[:2] == ("analysis", "stages") and path[3:4] == ("execution",) else None
    if pool is None and stage is None and path != ("execution", "chunk_size"):
        return []
    try:
        plan = compile_plan()
    except ConfigError as error:
        count = len(error.problems)
        return [f"no plan: the workflow has {count} error{'s' if count > 1 else ''}; see `fasthep-parsl plan`"]
    if pool is not None:
        return _pool(plan, str(pool), str(path[-1]) if len(path) > 3 else "")
    if stage is not None and isinstance(stage, int):
        name = loaded.workflow.analysis.stages[stage].id
        chosen = next(item for item in plan.stages if name in (item.id, item.nominal))  # its copies run there, too
        reasons = [f"\n  `{label}`: {reason}" for label, reason in chosen.lacking.items()]
        return [f"in the plan: stage {name} runs on pool {chosen.pool}: {chosen.why}{''.join(reasons)}"]
    return [f"in the plan: {plan.chunk_size:,} events per partition at most"]


def _pool(plan: Plan, name: str, quantity: str) -> list[str]:
    found = next((item for item in plan.pools if item.name == name), None)
    if found is None:
        return []
    values = {
        "workers": f"{found.workers} workers",
        "cpus": f"{found.cpus} cpus per worker",
        "memory": f"{format_memory(found.memory)} of memory per worker",
        "gpus": f"{found.gpus} gpus per worker",
    }
    if found.block is not None:
        values["walltime"] = f"jobs of {format_duration(found.block.walltime)}"
        values["queue"] = f"queue {found.block.queue}" if found.block.queue else "no queue"
    shown = [values[quantity]] if quantity in values else list(values.values()) if quantity in ("", "resources") else []
    if not shown:
        return []
    reasons = list(found.warnings) if found.used else []
    if found.block is not None and quantity not in ("cpus", "gpus"):
        reasons += found.block.why
    why = "".join(f"\n  {text}" for text in reasons)
    return [f"in the plan: {', '.join(shown)}{'' if found.used else ' (not used: no stage runs there)'}{why}"]


def _default(loaded: LoadedWorkflow, path: KeyPath) -> list[str]:
    """Return the default of a value that is not set."""
    value: Any = loaded.workflow
    for step in path:
        try:
            value = getattr(value, str(step)) if isinstance(value, BaseModel) else value[step]
        except (AttributeError, LookupError, TypeError):
            return []
    return [f"{show_path(path)} = {_shown(value)}\n  not set: this is the default"]
