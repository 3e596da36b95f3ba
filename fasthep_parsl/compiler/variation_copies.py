"""Copy the stages that variations reach. Pure; see `fasthep_parsl.compiler.variation_expansion`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain

from fasthep_parsl.analysis_code.modules import OpTable
from fasthep_parsl.compiler.fields import Flow
from fasthep_parsl.compiler.segments import limited_columns
from fasthep_parsl.compiler.stages import CheckedStage
from fasthep_parsl.compiler.variation_model import Copies, VariedPlace, Way
from fasthep_parsl.compiler.variation_pruning import only_fields
from fasthep_parsl.compiler.variation_replacements import FieldReplacements
from fasthep_parsl.compiler.variation_sources import Systematic, both
from fasthep_parsl.compiler.variation_unread import reads_in
from fasthep_parsl.compiler.variation_weights import WeightRules, multiplied, plain
from fasthep_parsl.interfaces import variant
from fasthep_parsl.ops.targets import OP as WRITE
from fasthep_parsl.plan import SUMS, PlanWeight
from fasthep_parsl.workflow.yamldoc import Document, problem


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
        self.weighted: dict[str, list[str]] = {}
        self.front = ""

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
        nominal = self.flow.reads[name]
        limited = limited_columns(self.result.items) if weights else {}
        found = ((w.variation, (*self.rules.columns(name, w), *plain(w, limited))) for w in weights)
        extra = {variation: tuple(c for c in columns if c not in nominal) for variation, columns in found}
        self.result.flow.reads[name] = tuple(dict.fromkeys((*nominal, *chain(*extra.values()))))
        self.result.flow.of_weights[name] = extra
        self.weighted[name] = list(extra)
        self.note_bound(item)
        self.tail[name] = name
        self.front = self.tail[item.input]
        for known in self.systematics:
            before = self.place(item.input, known)
            self.follow(item, known, ways[known.name], before)
            self.replace_after(name, known)
        self.result.items.append(replace(item, input=self.front, weights=tuple(weights)))

    def note_bound(self, item: CheckedStage) -> None:
        """Note the variations of a bound product that are in its weights only: ops take nominal histograms."""
        for source in item.stage.inputs:
            names = [name for name in self.weighted.get(source.node, ()) if (source.node, name) not in self.made]
            if names:
                self.result.nominal_inputs.setdefault((item.stage.id, source.node), []).extend(names)

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
        bound = self._bound(item, known)
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
            if way != "splice":
                after = replace(after, stage=name)
        if after.columns or after.forked:
            self.places[name, known.name] = after

    def splice(self, item: CheckedStage, known: Systematic, before: VariedPlace) -> VariedPlace:
        """Add a copy that adds the columns of a variation to the nominal stream.

        It comes after the stage, or before it if the stage overwrites a field that it reads.
        """
        name = item.stage.id
        variants = self.flow.effects[name].variants
        own = self._own(item)
        varied = self._varied(item, known, before)
        outputs = {variants.get(field, {}).get(known.name, field): variant(field, known.name) for field in varied}
        read = {*self.flow.reads[name], *self.rules.reads(item, known)}
        renames = {f: before.columns[f] for f in sorted(before.columns.keys() & read)}
        copy = self.copied(only_fields(item, varied, self.flow), known, renames)
        ahead = bool((read & set(own)).difference(renames))
        stream = (self.front if ahead else self.tail[name]) if outputs else before.stage
        copy = replace(copy, input=stream, outputs=outputs)
        self.finish(copy, tuple(outputs), item.input if ahead else name, known)
        columns = {f: c for f, c in before.columns.items() if f not in own}
        columns |= {field: variant(field, known.name) for field in varied}
        if outputs and ahead:
            self.front = copy.stage.id
        elif outputs:
            self.tail[name] = copy.stage.id
        return replace(before, stage=copy.stage.id if outputs and not ahead else name, columns=columns)

    def _varied(self, item: CheckedStage, known: Systematic, before: VariedPlace) -> list[str]:
        """Return the fields that a stage writes and whose values may differ in a variation."""
        effects, own = self.flow.effects[item.stage.id], self._own(item)
        if item.each or self._bound(item, known) or self._lost(item, known, before):
            return own
        return [
            name
            for name in own
            if name not in effects.sources
            or effects.sources[name] & before.columns.keys()
            or known.name in effects.variants.get(name, ())
        ]

    def _bound(self, item: CheckedStage, known: Systematic) -> bool:
        """Return whether a stage has a parameter that is a product which varies."""
        return any((source.node, known.name) in self.made for source in item.stage.inputs)

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
        changed = changed | set(written) if touched or self._bound(item, known) else changed - set(written)
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
        reads = (*reads_in(self.flow, nominal, known.name), *self.rules.reads_of(nominal, known))
        self.result.flow.reads[name] = tuple(dict.fromkeys(reads))
        self.result.flow.writes[name] = tuple(writes)
        self.result.flow.effects[name] = self.flow.effects[nominal]
        self.result.after.setdefault(base, {}).setdefault(known.name, []).append(name)

    # --- replaced fields ----------------------------------------------------------------------------------

    def replace_after(self, stream: str, only: Systematic | None = None) -> None:
        """Add the stages that replace fields of a stream: those of the source, or those that a stage has written."""
        for known in self.systematics if only is None else (only,):
            for name, text in known.fields.items():
                if self.replacements.is_after(stream, known, name, text):
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
