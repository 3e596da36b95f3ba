"""Variations of weights: expressions that multiply the weights of histograms and cutflows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from fasthep_parsl.compiler.fields import Flow
from fasthep_parsl.compiler.segments import covers
from fasthep_parsl.compiler.stages import CheckedStage
from fasthep_parsl.compiler.variation_sources import Systematic
from fasthep_parsl.errors import Problem
from fasthep_parsl.interfaces import Schema
from fasthep_parsl.ops.expressions import analyse_expression
from fasthep_parsl.plan import PlanWeight
from fasthep_parsl.workflow.yamldoc import Document, KeyPath, problem

KEYS = ("weight", "weight_expr", "weights")
"""Spellings of the parameter with the weight."""


class WeightRules:
    """The fields that `weight.multiply` of variations reads.

    Parameters
    ----------
    flow : Flow
        Fields of the nominal stages.
    systematics : sequence of Systematic
        The variations.
    document : Document
        The workflow, for the places of problems.
    problems : list of Problem
        Receives the mistakes.
    """

    def __init__(
        self, flow: Flow, systematics: Sequence[Systematic], document: Document, problems: list[Problem]
    ) -> None:
        self._flow, self._document, self._problems = flow, document, problems
        self._fields: dict[tuple[str, str], tuple[str, ...]] = {}
        self._known = {item.name: item for item in systematics}
        self._reported: set[tuple[str, str]] = set()

    def reads(self, item: CheckedStage, known: Systematic) -> tuple[str, ...]:
        """Return the fields that multiply the weight of a stage."""
        key = item.stage.id, known.name
        if not known.multiply or self._flow.effects[item.stage.id].weights is None:
            return ()
        if key not in self._fields:
            schema = self._flow.schemas.get(item.input, {})
            self._fields[key] = tuple(self._analysed(item.stage.id, known, schema))
            self._check_structure(item, known, schema)
        return self._fields[key]

    def reads_of(self, stage: str, known: Systematic) -> tuple[str, ...]:
        """Return the same for a stage that `reads` was called for."""
        return self._fields.get((stage, known.name), ())

    def columns(self, stage: str, weight: PlanWeight) -> list[str]:
        """Return the columns that a variation of the weight of a stage reads, besides those of the nominal weight."""
        fields = self._fields.get((stage, weight.variation), ())
        return [*weight.renames.values(), *(name for name in fields if name not in weight.renames)]

    def _analysed(self, stage: str, known: Systematic, schema: Schema) -> Iterable[str]:
        fields: dict[str, None] = {}
        for number, text in enumerate(known.multiply):
            path: KeyPath = (*known.path, "weight", "multiply", number)
            found, _, wrong = analyse_expression(text, path, schema)
            fields |= dict.fromkeys(found)
            for item in wrong:
                self._report(path, item.code, item.message, item.hint, item.name)
            for name in found:
                if name not in schema and not wrong:
                    hint = f"stage `{stage}` has a weight, and its events do not have this field"
                    self._report(path, "E150", f"unknown field `{name}`", hint, name)
        return fields

    def _check_structure(self, item: CheckedStage, known: Systematic, schema: Schema) -> None:
        """Report factors that a stage cannot use, such as one value per object where events are filled."""
        changed = multiplied(item, known.multiply).params
        unclear = any(analyse_expression(text, (), schema)[2] for text in known.multiply)
        if changed is None or unclear or not schema.keys() >= set(self._fields[item.stage.id, known.name]):
            return
        for wrong in item.op.analyse(changed, schema).problems:
            if wrong.path[:1] and wrong.path[0] in KEYS:
                path: KeyPath = (*known.path, "weight", "multiply")
                self._report(path, wrong.code, f"stage `{item.stage.id}`: {wrong.message}", wrong.hint, wrong.name)

    def _report(self, path: KeyPath, code: str, message: str, hint: object, name: str) -> None:
        """Report a mistake once, not for each histogram."""
        if (str(path), message) not in self._reported:
            self._reported.add((str(path), message))
            self._problems.append(problem(self._document, path, code, message, hint, name=name))  # type: ignore[arg-type]


def multiplied(item: CheckedStage, factors: Sequence[str]) -> CheckedStage:
    """Return a stage whose weight is multiplied by expressions."""
    params = item.stage.params
    known = item.op.params.model_fields
    key = next((name for name in KEYS if params.get(name) is not None and name in known), "")
    key = key or next((name for name in ("weight_expr", "weight", "weights") if name in known), "")
    if not key:
        return item
    terms = [str(params[key])] if params.get(key) is not None else []
    text = " * ".join(f"({term})" for term in (*terms, *factors))
    changed = {**params, key: text}
    valid = item.params.model_copy(update={key: text}) if item.params is not None else None
    return replace(item, stage=item.stage.model_copy(update={"params": changed}), params=valid)


def plain(weight: PlanWeight, limited: Mapping[str, Collection[str]]) -> list[str]:
    """Return the fields of a weight that have their nominal column for some datasets that vary; see `limited_columns`."""
    return [field for field, column in weight.renames.items() if not covers(limited.get(column), weight.datasets)]
