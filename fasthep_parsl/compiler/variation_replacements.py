"""Fields that variations replace: internal stages that compute them, at the place where the nominal field appears."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fasthep_parsl.analysis_code.modules import OpTable
from fasthep_parsl.compiler.fields import Flow
from fasthep_parsl.compiler.stages import CheckedStage, code_hash, module_name
from fasthep_parsl.compiler.variation_deferral import latest_stream
from fasthep_parsl.compiler.variation_sources import Systematic
from fasthep_parsl.errors import Problem, suggest
from fasthep_parsl.interfaces import UNKNOWN, Shape
from fasthep_parsl.ops.parameters import validate_params
from fasthep_parsl.workflow.stage_model import Stage
from fasthep_parsl.workflow.yamldoc import Document, KeyPath, problem

DEFINE = "hep.define"


class FieldReplacements:
    """Makes the stages that replace fields.

    Parameters
    ----------
    stages : sequence of CheckedStage
        The nominal stages.
    flow : Flow
        Their fields.
    table : OpTable
        All ops.
    document : Document
        The workflow, for the places of problems.
    problems : list of Problem
        Receives the mistakes.

    Attributes
    ----------
    reads : dict
        Stage that replaces a field → fields that it reads.
    """

    def __init__(
        self,
        stages: Sequence[CheckedStage],
        flow: Flow,
        table: OpTable,
        document: Document,
        problems: list[Problem],
    ) -> None:
        self._stages, self._flow, self._table = stages, flow, table
        self._document, self._problems = document, problems
        self._inputs = {item.stage.id: item.input for item in stages}
        self._writers: dict[str, list[str]] = {}
        for item in stages:
            for name in flow.writes[item.stage.id]:
                self._writers.setdefault(name, []).append(item.stage.id)
        self._places: dict[tuple[str, str], set[str]] = {}
        self.reads: dict[str, tuple[str, ...]] = {}

    def check(self, systematics: Iterable[Systematic]) -> None:
        """Refuse to replace a field that has two values along one stream, of which one would vary."""
        for known in systematics:
            for name in known.fields:
                again = self._again(name)
                if again:
                    message = f"stage `{again}` overwrites `{name}`, whose value before is read, too: which one varies?"
                    hint = f"give the output of `{again}` another name, and replace one of the two"
                    self._report(_path(known, name), "E129", message, hint, name)

    def _again(self, name: str) -> str:
        """Return a stage that overwrites a field although stages read its value before; empty if there is none."""
        writers = self._writers.get(name, [])
        for writer in writers:
            if any(self._follows(writer, other) for other in writers):
                return writer
        readers = [item.stage.id for item in self._stages if name in self._flow.reads[item.stage.id]]
        before = any(not any(self._follows(reader, writer) for writer in writers) for reader in readers)
        return writers[0] if writers and before else ""

    def _follows(self, stage: str, other: str) -> bool:
        """Return whether a stage reads the stream after another one."""
        found = self._inputs[stage]
        while found and found != other:
            found = self._inputs[found]
        return found == other

    def is_after(self, stream: str, known: Systematic, name: str, text: str) -> bool:
        """Return whether a field is replaced directly after a stage ("": in the source)."""
        key = known.name, name
        if key not in self._places:
            origins = self._writers.get(name) or ([""] if name in self._flow.schemas[""] else [])
            self._places[key] = {self._latest(origin, known, name, text) for origin in origins}
        return stream in self._places[key]

    def _latest(self, origin: str, known: Systematic, name: str, text: str) -> str:
        """Return the stream on which a field is replaced that appears on the stream `origin`."""
        schema = self._flow.schemas[origin]
        define = self._table.get(DEFINE)
        effects = define.analyse(validate_params(define, {"variables": [{"name": name, "expr": text}]}), schema)
        if effects.problems or not effects.reads.keys() <= schema.keys():
            return origin  # where it is reported
        return latest_stream(self._stages, self._flow, origin, (name, *effects.reads), known)

    def stage(self, stream: str, known: Systematic, name: str, text: str) -> CheckedStage | None:
        """Return a stage that replaces a field; None if the expression is wrong."""
        op = self._table.get(DEFINE)
        written = {"variables": [{"name": name, "expr": text}]}
        params = validate_params(op, written)
        schema = self._flow.schemas[stream]
        effects = op.analyse(params, schema)
        path = _path(known, name)
        for wrong in effects.problems:
            self._report(path, wrong.code, wrong.message, wrong.hint, wrong.name)
        for field in effects.reads:
            if field not in schema and not effects.problems:
                self._report(path, "E150", f"unknown field `{field}`", suggest(field, schema, what="fields"), field)
        if not effects.problems:
            self._check_structure(path, name, schema[name], effects.writes[name])
        if effects.problems or not effects.reads.keys() <= schema.keys():
            return None
        internal = f"@{name}@{stream}@{known.name}" if stream else f"@{name}@{known.name}"
        self.reads[internal] = tuple(effects.reads)
        first = Stage(id="replace", op=DEFINE, params=written)
        return CheckedStage(
            first.model_copy(update={"id": internal}),
            path,
            op,
            params,
            (),
            stream,
            module_name(self._table, DEFINE),
            code_hash(self._table, DEFINE),
            datasets=known.datasets,
            variation=known.name,
        )

    def _check_structure(self, path: KeyPath, name: str, nominal: Shape, other: Shape) -> None:
        """Refuse a replacement with another structure: one value per event for a list, or lists of other objects."""
        if nominal == other or UNKNOWN in (nominal, other):
            return
        what = ["one value per event" if not shape else f"one value per {shape[-1]}" for shape in (nominal, other)]
        message = f"`{name}` has {what[0]}, and its replacement {what[1]}"
        self._report(path, "E129", message, "write an expression with the same structure", name)

    def refuse_mixed(self, known: Systematic, name: str, changed: Iterable[str]) -> None:
        """Refuse a replacement of a field in a fork that reads what the variation has changed already."""
        fields = ", ".join(f"`{field}`" for field in sorted(changed))
        if fields:
            message = (
                f"variation `{known.name}` replaces `{name}` after a selection that it changes, and reads {fields}, which"
                " has its nominal value no more"
            )
            hint = f"compute `{name}` before that selection, or replace only the fields that it is computed from"
            self._report(_path(known, name), "E129", message, hint, name)

    def _report(self, path: KeyPath, code: str, message: str, hint: object, name: str) -> None:
        found = problem(self._document, path, code, message, hint, name=name)  # type: ignore[arg-type]
        if found not in self._problems:
            self._problems.append(found)

    def runs_like(self, stream: str, name: str) -> str:
        """Return the stage of the workflow where a replacement runs: the one before it, or the first that reads it."""
        items = {item.stage.id: item for item in self._stages}
        reader = next((item for item in self._stages if name in self._flow.reads[item.stage.id]), self._stages[0])
        item = items.get(stream, reader)
        return item.nominal or item.stage.id


def _path(known: Systematic, name: str) -> KeyPath:
    return (*known.path, "replace", "fields", name)
