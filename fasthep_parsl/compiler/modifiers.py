"""The modifiers of each stage: those of its pool around its own; checked before anything starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pydantic import ValidationError

from fasthep_parsl import registry
from fasthep_parsl.compiler.stages import CheckedStage
from fasthep_parsl.errors import Problem, suggest
from fasthep_parsl.plan import PlanModifier, PlanPool
from fasthep_parsl.workflow.loader import LoadedWorkflow
from fasthep_parsl.workflow.model import Kind
from fasthep_parsl.workflow.translate import problems_of
from fasthep_parsl.workflow.yamldoc import Path_, problem

Named = tuple[Kind, Path_]
"""A modifier and where it stands."""


def check_modifiers(
    loaded: LoadedWorkflow, stages: Iterable[CheckedStage], routes: Mapping[str, str], pools: Iterable[PlanPool]
) -> tuple[dict[str, tuple[PlanModifier, ...]], list[Problem]]:
    """Return stage → its modifiers, the outermost first, and what is wrong with any of them.

    One that a stage has from its pool and again itself, with equal parameters, is there once.

    Parameters
    ----------
    loaded : LoadedWorkflow
        The workflow with the site's layers.
    stages : iterable of CheckedStage
        The stages.
    routes : mapping
        Stage → name of its pool; those that have none are not checked against it.
    pools : iterable of PlanPool
        Pools that can be had.
    """
    execution = loaded.workflow.execution
    granted = {pool.name: pool for pool in pools}
    problems: list[Problem] = []
    found: dict[str, tuple[PlanModifier, ...]] = {}
    for item in stages:
        pool = routes.get(item.stage.id, "")
        spec = execution.pools.get(pool)
        named: list[Named] = [
            *(_place(spec.modifiers, ("execution", "pools", pool, "modifiers")) if spec else ()),
            *_place(item.stage.execution.modifiers, (*item.path, "execution", "modifiers")),
        ]
        for kind, path in named:
            problems += _problems(loaded, item.stage.id, kind, path, granted.get(pool), granted)
        once = [kind for number, (kind, _) in enumerate(named) if kind not in [other for other, _ in named[:number]]]
        found[item.stage.id] = tuple(PlanModifier(kind=kind.kind, params=kind.params) for kind in once)
    for name in execution.pools.keys() - set(routes.values()):  # a mistake is one even if no stage meets it
        for kind, path in _place(execution.pools[name].modifiers, ("execution", "pools", name, "modifiers")):
            problems += _problems(loaded, "", kind, path, None, granted)
    return found, list(dict.fromkeys(problems))  # a pool's modifier is met once per stage


def _place(modifiers: Iterable[Kind], path: Path_) -> list[Named]:
    return [(kind, (*path, number)) for number, kind in enumerate(modifiers)]


def _problems(
    loaded: LoadedWorkflow, stage: str, kind: Kind, path: Path_, pool: PlanPool | None, pools: Mapping[str, PlanPool]
) -> list[Problem]:
    known = registry.names("modifiers")
    if kind.kind not in known:
        hint = suggest(kind.kind, known, what="modifiers")
        return [problem(loaded.document, path, "E110", f"unknown modifier `{kind.kind}`", hint)]
    model = registry.load("modifiers", kind.kind)
    try:
        made = model(**kind.params)
    except ValidationError as error:
        inside = (*path, "params")  # of upstream's spelling
        return problems_of(error, model, loaded.document, inside if loaded.document.has(inside) else path)
    if not model.needs_gpu or pool is None or pool.gpus or getattr(made, "on_missing", "fail") == "cpu":
        return []
    able = [f"`{name}`" for name, other in pools.items() if other.gpus]
    hint = f"pools with GPUs: {', '.join(able)}; " if able else "no pool of this site has GPUs; "
    message = f"stage `{stage}`: modifier `{kind.kind}` needs a GPU, and its pool `{pool.name}` has none"
    return [problem(loaded.document, path, "E180", message, hint + "or `on_missing: cpu` to do without")]
