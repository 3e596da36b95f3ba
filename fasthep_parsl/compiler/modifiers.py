"""Find and check the modifiers of each stage: those of its pool, then its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from fasthep_parsl import registry
from fasthep_parsl.compiler.fields import Flow
from fasthep_parsl.compiler.inputs import Inputs
from fasthep_parsl.compiler.routes import Routing
from fasthep_parsl.compiler.stages import CheckedStage
from fasthep_parsl.errors import Checked, Hint, Problem, suggest
from fasthep_parsl.interfaces import Modifier
from fasthep_parsl.plan import PlanModifier, PlanPool
from fasthep_parsl.workflow.kind_reference import Kind
from fasthep_parsl.workflow.loader import LoadedWorkflow
from fasthep_parsl.workflow.translate import problems_of
from fasthep_parsl.workflow.yamldoc import Document, KeyPath, problem, show_path

NAMED = 4
"""Most stages to name in one message."""
_OF_USERS = ("workflow", "--set")


@dataclass(frozen=True)
class Placed:
    """A modifier and its place.

    Attributes
    ----------
    kind : Kind
        The modifier as written.
    path : tuple
        Its key path in the document.
    made : Modifier
        The modifier.
    inside : tuple
        Key path of its fields.
    """

    kind: Kind
    path: KeyPath
    made: Modifier
    inside: KeyPath

    @property
    def planned(self) -> PlanModifier:
        """The modifier as plain data, for the plan."""
        return PlanModifier(kind=self.kind.kind, params=self.kind.params)

    def equals(self, other: Placed) -> bool:
        """Return whether both have the same effect."""
        return self.kind.kind == other.kind.kind and bool(self.made == other.made)

    def excludes(self, other: Placed) -> bool:
        """Return whether a stage can have only one of both."""
        fields = self.made.identity
        if self.kind.kind != other.kind.kind or fields is None:
            return self.equals(other)
        return all(getattr(self.made, name) == getattr(other.made, name) for name in fields)


def check_modifiers(
    loaded: LoadedWorkflow, stages: Iterable[CheckedStage], routing: Routing
) -> Checked[dict[str, tuple[Placed, ...]]]:
    """Return stage → its modifiers, the outermost first.

    Duplicates are applied once. If a stage and its pool configure the same instance (`Modifier.identity`), the stage's
    wins; it takes the place of the pool's.

    Parameters
    ----------
    loaded : LoadedWorkflow
        The workflow with the site's layers.
    stages : iterable of CheckedStage
        The stages.
    routing : Routing
        The pools of the stages.
    """
    pools = pool_modifiers(loaded)
    problems = list(pools.problems)
    found: dict[str, tuple[Placed, ...]] = {}
    for item in stages:
        path = (*item.path, "execution", "modifiers")
        own, wrong = _checked(loaded.document, item.stage.execution.modifiers, path)
        problems += wrong
        found[item.stage.id] = _around(pools.value.get(routing.pool_of.get(item.stage.id, ""), ()), own)
    problems += _without_gpus(loaded.document, found, routing.pool_of, {pool.name: pool for pool in routing.pools})
    return Checked(found, tuple(problems))


def pool_modifiers(loaded: LoadedWorkflow) -> Checked[dict[str, tuple[Placed, ...]]]:
    """Return pool → its modifiers, also for pools without stages."""
    found: dict[str, tuple[Placed, ...]] = {}
    problems: list[Problem] = []
    for name, spec in loaded.workflow.execution.pools.items():
        found[name], wrong = _checked(loaded.document, spec.modifiers, ("execution", "pools", name, "modifiers"))
        problems += wrong
    return Checked(found, tuple(problems))


def check_modifier_fields(
    modifiers: Mapping[str, Sequence[Placed]],
    stages: Sequence[CheckedStage],
    routes: Mapping[str, str],
    flow: Flow,
    inputs: Inputs,
    document: Document,
) -> list[Problem]:
    """Return a problem for each name in a modifier's list `fields` that its stages do not read from a stream.

    A modifier of a pool may name a field that only some of its stages have. After a stage with mistakes, nothing is
    reported.
    """
    known = _streams(stages, flow)
    pools: dict[str, list[str]] = {}
    for stage, pool in routes.items():
        pools.setdefault(pool, []).append(stage)
    problems: list[Problem] = []
    for stage, placed in modifiers.items():
        for item in placed:
            users = pools.get(routes.get(stage, ""), [stage]) if item.path[:2] == ("execution", "pools") else [stage]
            if not all(user in known for user in users):
                continue
            fields = {field for user in users for field in known[user]}
            problems += [
                _unknown_field(name, (*item.inside, *path), fields, inputs, document)
                for path, name in _named_fields(item.made)
                if name not in fields
            ]
    return list(dict.fromkeys(problems))  # the modifier of a pool is checked for each of its stages


def unused_modifiers(loaded: LoadedWorkflow, stages: Iterable[CheckedStage], routes: Mapping[str, str]) -> list[str]:
    """Warn of modifiers that the user gave to a pool without stages: its name may be misspelt."""
    execution = loaded.workflow.execution
    asked = {label for item in stages for label in _labels(item)} | set(routes.values())
    warnings = []
    for name, spec in execution.pools.items():
        path = ("execution", "pools", name, "modifiers")
        node = loaded.document.get(path)
        if spec.modifiers and node and node.layer in _OF_USERS and not asked & {name, spec.resources}:
            hint = suggest(name, routes.values(), what="pools with stages")
            warnings.append(f"`{show_path(path)}`: no stage runs on pool `{name}` ({hint})")
    return warnings


def _named_fields(made: Modifier) -> list[tuple[KeyPath, str]]:
    """Return the fields of the stream that a modifier's parameters list, with their places."""
    listed = ((key, getattr(made, key)) for key in made.field_parameters)
    return [((key, number), name) for key, names in listed for number, name in enumerate(names or ())]


def _labels(item: CheckedStage) -> list[str]:
    execution = item.stage.execution
    return [label for label in (execution.require, execution.prefer, execution.fallback) if label]


def _checked(document: Document, kinds: Iterable[Kind], path: KeyPath) -> tuple[tuple[Placed, ...], list[Problem]]:
    """Return the valid modifiers of a list without duplicates, and the mistakes in the others."""
    found: list[Placed] = []
    problems: list[Problem] = []
    for number, kind in enumerate(kinds):
        made = _made(document, kind, (*path, number))
        if not isinstance(made, Placed):
            problems += made
            continue
        before = next((other for other in found if made.excludes(other)), None)
        if before is None:
            found.append(made)
        elif not made.equals(before):
            fields = " and ".join(f"`{name}`" for name in made.made.identity or ())
            message = f"modifier `{kind.kind}` is twice in one list{f' with the same {fields}' if fields else ''}"
            hint = f"remove one of them; the other is `{show_path(before.path)}`"
            problems.append(problem(document, made.path, "E106", message, hint))
    return tuple(found), problems


def _made(document: Document, kind: Kind, path: KeyPath) -> Placed | list[Problem]:
    known = registry.names("modifiers")
    if kind.kind not in known:
        hint = suggest(kind.kind, known, what="modifiers")
        return [problem(document, path, "E110", f"unknown modifier `{kind.kind}`", hint, name=kind.kind)]
    model = registry.load("modifiers", kind.kind)
    upstream = document.has((*path, "params")) and not document.has((*path, "kind"))
    inside = (*path, "params") if upstream else path
    if not (isinstance(model, type) and issubclass(model, Modifier)):
        base = "its class must be a subclass of `fasthep_parsl.interfaces.Modifier`"
        return [problem(document, path, "E111", f"`{kind.kind}` is not a modifier", base)]
    given = kind.params.get("params")
    if isinstance(given, dict) and "params" not in model.model_fields:
        fields = ", ".join((f"kind: {kind.kind}", *(f"{name}: …" for name in given)))
        message, advice = "unknown key `params` in a modifier", f"put the fields next to `kind`: `{{{fields}}}`"
        return [problem(document, (*inside, "params"), "E102", message, advice, on="key", name="params")]
    try:
        return Placed(kind, path, model(**kind.params), inside)
    except ValidationError as error:
        return problems_of(error, model, document, inside)


def _around(outer: Sequence[Placed], own: Sequence[Placed]) -> tuple[Placed, ...]:
    """Return the modifiers of the pool, then those of the stage; of two that exclude each other, the stage's."""
    instead = [
        next((item for item in own if item.excludes(other) and not item.equals(other)), other) for other in outer
    ]
    return (*instead, *(item for item in own if not any(item.excludes(other) for other in outer)))


def _without_gpus(
    document: Document,
    modifiers: Mapping[str, Sequence[Placed]],
    routes: Mapping[str, str],
    pools: Mapping[str, PlanPool],
) -> list[Problem]:
    """Return a problem for each modifier that needs a GPU on a pool without GPUs, with the stages that use it."""
    met: dict[KeyPath, list[str]] = {}
    kinds: dict[KeyPath, Placed] = {}
    for stage, placed in modifiers.items():
        pool = pools.get(routes.get(stage, ""))
        for item in placed:
            if pool and not pool.gpus and not item.made.works_without_gpu:
                met.setdefault(item.path, []).append(stage)
                kinds[item.path] = item
    able = [f"`{name}`" for name, other in pools.items() if other.gpus]
    pools_with = f"pools with GPUs: {', '.join(able)}" if able else "no pool of this site has GPUs"
    problems = []
    for path, stages in met.items():
        whose = "its" if len(stages) == 1 else "their"
        needs = f"modifier `{kinds[path].kind.kind}` needs a GPU, and {whose} pool `{routes[stages[0]]}` has none"
        setting = kinds[path].made.without_gpu
        hint = f"{pools_with}; to run without a GPU, write `{setting}`" if setting else pools_with
        problems.append(problem(document, path, "E180", f"{_named(stages)}: {needs}", hint))
    return problems


def _named(stages: Sequence[str]) -> str:
    names = ", ".join(f"`{stage}`" for stage in stages[:NAMED])
    more = f" and {len(stages) - NAMED} more" if len(stages) > NAMED else ""
    return f"stage{'' if len(stages) == 1 else 's'} {names}{more}"


def _streams(stages: Iterable[CheckedStage], flow: Flow) -> dict[str, set[str]]:
    """Return stage → fields of the stream that it reads, for stages that no mistake affects.

    A stage with copies has the fields of their streams.
    """
    sure = {""}
    found: dict[str, set[str]] = {}
    for item in stages:
        if item.input in sure and item.input in flow.schemas:
            found.setdefault(item.nominal or item.stage.id, set()).update(flow.schemas[item.input])
            if item.stage.id in flow.reads:
                sure.add(item.stage.id)
    return found


def _unknown_field(name: str, path: KeyPath, fields: Iterable[str], inputs: Inputs, document: Document) -> Problem:
    hint: Hint = suggest(name, fields, what="fields")
    if name in inputs.common.partial:
        hint = "some input files lack it; give it a `default` in `fields`"
    return problem(document, path, "E150", f"unknown field `{name}`", hint, name=name)
