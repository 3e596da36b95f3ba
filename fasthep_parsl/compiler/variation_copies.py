"""Copy the stages that variations reach. Pure; see `fasthep_parsl.compiler.variation_expansion`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from fasthep_parsl.analysis_code.modules import OpTable
from fasthep_parsl.compiler.fields import Flow
from fasthep_parsl.compiler.stages import CheckedStage
from fasthep_parsl.compiler.variation_replacements import FieldReplacements
from fasthep_parsl.compiler.variation_sources import Systematic, both
from fasthep_parsl.compiler.variation_weights import WeightRules, multiplied
from fasthep_parsl.errors import Problem
from fasthep_parsl.interfaces import variant
from fasthep_parsl.ops.targets import OP as WRITE
from fasthep_parsl.plan import SUMS, PlanWeight
from fasthep_parsl.workflow.yamldoc import Document, problem

Way = Literal["", "skipped", "nominal", "weight", "splice", "fork"]
"""How a stage is computed in a variation; empty: it is not reached."""


@dataclass(frozen=True)
class VariedPlace:
    """Where a variation is after a stage.

    Attributes
    ----------
    stage : str
        Stage whose stream has the variation; empty for the source.
    columns : mapping
        Field → column of this stream with its value in the variation.
    forked : bool
        Whether the stream belongs to the variation alone.
    changed : frozenset of str
        Fields of a fork that may differ from the nominal ones.
    base : str
        Nominal stage after which the fork begins.
    """

    stage: str
    columns: Mapping[str, str] = field(default_factory=dict)
    forked: bool = False
    changed: frozenset[str] = frozenset()
    base: str = ""


@dataclass
class Copies:
    """Stages with copies, in no order.

    Attributes
    ----------
    items : list of CheckedStage
        The stages and their copies, stages that replace fields included.
    flow : Flow
        Their fields.
    after : dict
        Nominal stage ("" for the source) → variation → copies that run directly after it.
    like : dict
        Stage that replaces fields → stage of the workflow where it runs.
    nominal_only : dict
        Stage that does not vary → the variations that reach it.
    problems : list of Problem
        Mistakes.
    """

    items: list[CheckedStage] = field(default_factory=list)
    flow: Flow = field(default_factory=Flow)
    after: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    like: dict[str, str] = field(default_factory=dict)
    nominal_only: dict[str, list[str]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


class Copier:
    """Makes the copies of the stages of a workflow.

    Parameters
    ----------
    stages : sequence of CheckedStage
        Nominal stages in an order in which they can run.
    flow : Flow
        Their fields.
    systematics : sequence of Systematic
        The variations, in their order.
    table : OpTable
        All ops.
    document : Document
        The workflow, for the places of problems.
    """

    def __init__(
        self,
        stages: Sequence[CheckedStage],
        flow: Flow,
        systematics: Sequence[Systematic],
        table: OpTable,
        document: Document,
    ) -> None:
        self.stages, self.flow, self.systematics, self.document = stages, flow, systematics, document
        copied = Flow(dict(flow.reads), dict(flow.writes), dict(flow.schemas), dict(flow.effects))
        self.result = Copies(flow=copied)
        self.rules = WeightRules(flow, systematics, document, self.result.problems)
        self.replacements = FieldReplacements(stages, flow, table, document, self.result.problems)
        self.places: dict[tuple[str, str], VariedPlace] = {}
        self.tail: dict[str, str] = {"": ""}
        self.made: dict[tuple[str, str], str] = {}

    def run(self) -> Copies:
        """Return all stages and copies."""
        self.replacements.check(self.systematics)
        self.replace_after("")
        for item in self.stages:
            self.add(item)
        return self.result

    def add(self, item: CheckedStage) -> None:
        """Add a stage and its copies."""
        name = item.stage.id
        ways = {known.name: self.way(item, known) for known in self.systematics}
        weights = [self.weight(item, known) for known in self.systematics if ways[known.name] == "weight"]
        extra = [column for weight in weights for column in self.rules.columns(name, weight)]
        self.result.flow.reads[name] = tuple(dict.fromkeys((*self.flow.reads[name], *extra)))
        self.result.items.append(replace(item, input=self.tail[item.input], weights=tuple(weights)))
        self.tail[name] = name
        for known in self.systematics:
            before = self.place(item.input, known)
            self.follow(item, known, ways[known.name], before)
            self.replace_after(name, known)

    def place(self, stream: str, known: Systematic) -> VariedPlace:
        """Return where a variation is after a nominal stage."""
        return self.places.get((stream, known.name)) or VariedPlace(stream, base=stream)

    # --- how a variation reaches a stage ------------------------------------------------------------------

    def way(self, item: CheckedStage, known: Systematic) -> Way:
        """Return how a stage is computed in a variation."""
        name, place = item.stage.id, self.place(item.input, known)
        effects, datasets = self.flow.effects[name], both(item.datasets, known.datasets)
        if datasets == ():
            return "skipped"
        read = place.columns.keys() & set(self.flow.reads[name])
        bound = any((source.node, known.name) in self.made for source in item.stage.inputs)
        lost = self._lost(item, known, place)
        multiply = bool(known.multiply) and effects.weights is not None
        if name == SUMS or not (read or bound or lost or multiply or place.forked):  # generated weights do not vary
            return ""
        if item.op.scope != "partition" or item.op.name == WRITE:
            self.result.nominal_only.setdefault(name, []).append(known.name)
            return "nominal"
        if place.forked:
            return "fork"
        if effects.weights is not None and read <= effects.weights and not bound and not lost:
            return "weight"
        return "splice" if effects.keeps_events and item.op.stream else "fork"

    def _lost(self, item: CheckedStage, known: Systematic, place: VariedPlace) -> bool:
        """Return whether a stage overwrites a field that varies, but only for some of the datasets that vary."""
        rest = known.datasets is None if item.datasets is not None else False
        if item.datasets is not None and known.datasets is not None:
            rest = not set(known.datasets) <= set(item.datasets)
        return rest and bool(place.columns.keys() & set(self.flow.writes[item.stage.id]))

    def weight(self, item: CheckedStage, known: Systematic) -> PlanWeight:
        """Return the variation of the weight of a stage."""
        place = self.place(item.input, known)
        multiply = known.multiply if self.flow.effects[item.stage.id].weights is not None else ()
        read = {*self.flow.reads[item.stage.id], *self.rules.reads(item, known)}
        return PlanWeight(
            variation=known.name,
            renames={name: place.columns[name] for name in sorted(place.columns.keys() & read)},
            multiply=multiply,
            datasets=both(item.datasets, known.datasets),
        )

    # --- copies -------------------------------------------------------------------------------------------

    def follow(self, item: CheckedStage, known: Systematic, way: Way, before: VariedPlace) -> None:
        """Add the copy of a stage if there is one, and note where the variation is after it."""
        name = item.stage.id
        after = before
        if way == "splice":
            after = self.splice(item, known, before)
        elif way == "fork":
            after = self.fork(item, known, before)
        elif way != "skipped" and not before.forked:
            overwritten = set(self.flow.writes[name])
            after = replace(before, columns={f: c for f, c in before.columns.items() if f not in overwritten})
        if not item.op.stream:
            return
        if not after.forked:
            given = self.flow.effects[name].variants
            columns = {f: of[known.name] for f, of in given.items() if known.name in of}
            after = replace(after, columns={**after.columns, **columns}, base=name)
            if way != "splice" or after.stage == before.stage:
                after = replace(after, stage=name)
        if after.columns or after.forked:
            self.places[name, known.name] = after

    def splice(self, item: CheckedStage, known: Systematic, before: VariedPlace) -> VariedPlace:
        """Add a copy that adds the columns of a variation to the nominal stream."""
        name = item.stage.id
        effects = self.flow.effects[name]
        own = self._own(item)
        outputs = {
            effects.variants.get(written, {}).get(known.name, written): variant(written, known.name) for written in own
        }
        read = before.columns.keys() & {*self.flow.reads[name], *self.rules.reads(item, known)}
        copy = self.copied(item, known, {f: before.columns[f] for f in sorted(read)})
        stream = self.tail[name] if outputs else before.stage
        self.finish(replace(copy, input=stream, outputs=outputs), tuple(outputs), name, known)
        columns = {f: c for f, c in before.columns.items() if f not in own}
        if outputs:
            self.tail[name] = copy.stage.id
        columns |= {field: variant(field, known.name) for field in own}
        return replace(before, stage=copy.stage.id if outputs else name, columns=columns)

    def fork(self, item: CheckedStage, known: Systematic, before: VariedPlace) -> VariedPlace:
        """Add a copy with a stream of its own."""
        name = item.stage.id
        given = self.flow.effects[name].variants
        columns = {f: of[known.name] for f, of in given.items() if known.name in of}
        written = (*self._own(item), *columns.values())
        copy = self.copied(item, known, dict(before.columns))
        self.finish(replace(copy, input=before.stage), written, before.base, known)
        changed = before.changed | before.columns.keys()
        touched = changed & {*self.flow.reads[name], *self.rules.reads(item, known)}
        bound = any((source.node, known.name) in self.made for source in item.stage.inputs)
        changed = changed | set(written) if touched or bound else changed - set(written)
        return VariedPlace(copy.stage.id, columns, forked=True, changed=frozenset(changed), base=before.base)

    def _own(self, item: CheckedStage) -> list[str]:
        """Return the fields that a stage writes, without columns of variations."""
        variants = {column for of in self.flow.effects[item.stage.id].variants.values() for column in of.values()}
        return [name for name in self.flow.writes[item.stage.id] if name not in variants]

    def copied(self, item: CheckedStage, known: Systematic, renames: Mapping[str, str]) -> CheckedStage:
        """Return the copy of a stage in a variation."""
        name = item.stage.id
        self.rules.reads(item, known)
        if known.multiply and self.flow.effects[name].weights is not None:
            item = multiplied(item, known.multiply)
        made = [source.model_copy(update={"node": self.of(source.node, known)}) for source in item.stage.inputs]
        copy = f"{name}@{known.name}"
        uses = (tuple(use.model_copy(update={"stage": copy}) for use in file.uses) for file in item.files)
        return replace(
            item,
            stage=item.stage.model_copy(update={"id": copy, "inputs": tuple(made)}),
            needs=tuple(self.of(need, known) for need in item.needs),
            files=tuple(file.model_copy(update={"uses": use}) for file, use in zip(item.files, uses, strict=True)),
            datasets=both(item.datasets, known.datasets),
            nominal=item.nominal or name,
            variation=known.name,
            renames=renames,
        )

    def of(self, stage: str, known: Systematic) -> str:
        """Return the copy of a stage in a variation, the stage itself if it has none."""
        return self.made.get((stage, known.name), stage)

    def finish(self, copy: CheckedStage, writes: Iterable[str], base: str, known: Systematic) -> None:
        """Add a copy to the result."""
        name, nominal = copy.stage.id, copy.stage.id.removesuffix(f"@{known.name}")
        if any(item.stage.id == name for item in self.stages):
            message = f"variation `{known.name}` has the name of a region: both would be `{name}`"
            self.result.problems.append(problem(self.document, known.path, "E129", message, "rename one of them"))
        self.made[nominal, known.name] = name
        self.result.items.append(replace(copy, needs=tuple(dict.fromkeys(n for n in (*copy.needs, copy.input) if n))))
        reads = (*self.flow.reads[nominal], *self.rules.reads_of(nominal, known))
        self.result.flow.reads[name] = tuple(dict.fromkeys(reads))
        self.result.flow.writes[name] = tuple(writes)
        self.result.flow.effects[name] = self.flow.effects[nominal]
        self.result.after.setdefault(base, {}).setdefault(known.name, []).append(name)

    # --- replaced fields ----------------------------------------------------------------------------------

    def replace_after(self, stream: str, only: Systematic | None = None) -> None:
        """Add the stages that replace fields of a stream: those of the source, or those that a stage has written."""
        for known in self.systematics if only is None else (only,):
            for name, text in known.fields.items():
                if self.replacements.is_after(stream, name):
                    self.replace_field(stream, known, name, text)

    def replace_field(self, stream: str, known: Systematic, name: str, text: str) -> None:
        """Add a stage that replaces a field after a nominal stage."""
        place = self.place(stream, known)
        item = self.replacements.stage(stream, known, name, text)
        if item is None:
            return
        reads = self.replacements.reads[item.stage.id]
        flow, result = self.result.flow, self.result
        if place.forked:
            self.replacements.refuse_mixed(known, name, place.changed & set(reads))
            item = replace(item, input=place.stage, renames=place.columns)
            columns = {f: c for f, c in place.columns.items() if f != name}
            after = replace(place, stage=item.stage.id, columns=columns, changed=place.changed | {name})
        else:
            column = variant(name, known.name)
            item = replace(item, input=self.tail[stream], outputs={name: column})
            self.tail[stream] = item.stage.id
            after = replace(place, stage=item.stage.id, columns={**place.columns, name: column}, base=stream)
        result.items.append(replace(item, needs=(item.input,) if item.input else ()))
        result.like[item.stage.id] = self.replacements.runs_like(stream, name)
        flow.reads[item.stage.id], flow.writes[item.stage.id] = tuple(reads), (name,)
        result.after.setdefault(after.base, {}).setdefault(known.name, []).append(item.stage.id)
        self.places[stream, known.name] = after
