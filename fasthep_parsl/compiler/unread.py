"""Find the columns that stages read for each dataset: what does not apply is not read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from fasthep_parsl.compiler.aliases import Files
from fasthep_parsl.compiler.fields import Flow
from fasthep_parsl.compiler.inputs import Inputs
from fasthep_parsl.compiler.segments import cut_segments
from fasthep_parsl.compiler.stages import CheckedStage
from fasthep_parsl.interfaces import Shape
from fasthep_parsl.plan import PlanDataset, PlanSegment, PlanWeight


def applies(item: CheckedStage | PlanWeight, dataset: str) -> bool:
    """Return whether a stage runs for a dataset, or a variation of its weight is filled."""
    return item.datasets is None or dataset in item.datasets


def reads_of(files: Files, stages: Iterable[CheckedStage], flow: Flow) -> set[str]:
    """Return the fields of a class's files that stages read."""
    dataset = files.datasets[0].name
    read = {name for item in stages if applies(item, dataset) for name in flow.reads.get(item.stage.id, ())}
    return read & files.known.fields.keys()


def with_unread(
    segments: Sequence[PlanSegment],
    stages: Sequence[CheckedStage],
    pools: dict[str, str],
    flow: Flow,
    inputs: Inputs,
) -> tuple[PlanSegment, ...]:
    """Return segments with the columns that they do not need for each dataset: those of stages that do not apply.

    Parameters
    ----------
    segments : sequence of PlanSegment
        The segments, as `cut_segments` returns them.
    stages, pools, flow
        As for `cut_segments`.
    inputs : Inputs
        The input files.
    """
    limited: list[CheckedStage | PlanWeight] = [*stages, *(weight for item in stages for weight in item.weights)]
    if len(inputs.classes) < 2 and all(item.datasets is None for item in limited):
        return tuple(segments)
    cut: dict[tuple[object, ...], list[PlanSegment]] = {}
    own: dict[str, list[PlanSegment]] = {}
    for files in inputs.classes:
        for dataset in files.datasets:
            key = (id(files), *(applies(item, dataset.name) for item in limited))
            if key not in cut:
                cut[key] = cut_segments(stages, pools, _flow_of(dataset.name, files, stages, flow, inputs))
            own[dataset.name] = cut[key]
    return tuple(
        segment.model_copy(update={"unread": _unread(segment, {name: found[n] for name, found in own.items()})})
        for n, segment in enumerate(segments)
    )


def _unread(segment: PlanSegment, own: Mapping[str, PlanSegment]) -> dict[str, tuple[str, ...]]:
    """Return dataset → columns of a segment that are not among its own."""
    rest = {name: tuple(c for c in segment.columns if c not in mine.columns) for name, mine in own.items()}
    return {name: columns for name, columns in rest.items() if columns}


def _flow_of(dataset: str, files: Files, stages: Sequence[CheckedStage], flow: Flow, inputs: Inputs) -> Flow:
    """Return what stages read and add for a dataset. A stage that is skipped neither reads nor adds fields."""
    own = Flow(schemas=flow.schemas)
    missing = inputs.common.fields.keys() - files.known.fields.keys()
    without: dict[str, set[str]] = {}
    known = {item.stage.id: item for item in stages}
    for item in stages:
        name, runs = item.stage.id, applies(item, dataset)
        lacking = without.get(item.input, set(missing))
        written = set(item.outputs.values()) or set(flow.writes[name])
        own.writes[name] = flow.writes[name] if runs else ()
        if runs:
            without_use = lacking | unused_by_weights(item, dataset, flow)
            columns = {f: item.renames.get(f, f) for f in flow.reads[name]}
            # a field whose varied column is lacking is read as it is
            own.reads[name] = tuple(f for f, c in columns.items() if (f if c in lacking else c) not in without_use)
            without[name] = lacking - written
        else:
            own.reads[name] = ()
            without[name] = lacking | (written - (_schema_after(item.input, known, flow).keys() - lacking))
    return own


def _schema_after(stream: str, stages: Mapping[str, CheckedStage], flow: Flow) -> Mapping[str, Shape]:
    """Return the fields after a stage, under their plain names: copies have those of the nominal stream."""
    while stream not in flow.schemas:
        item = stages[stream]
        stream = item.input if item.outputs or not item.nominal else item.nominal
    return flow.schemas[stream]


def unused_by_weights(item: CheckedStage, dataset: str, flow: Flow) -> set[str]:
    """Return the fields that a stage reads only for variations of its weight that do not apply to a dataset."""
    fields = flow.of_weights.get(item.stage.id, {})
    used = {name for weight in item.weights if applies(weight, dataset) for name in fields.get(weight.variation, ())}
    return {name for names in fields.values() for name in names} - used


def only_used(datasets: Iterable[PlanDataset], segments: Iterable[PlanSegment]) -> tuple[PlanDataset, ...]:
    """Return datasets with the aliases of the columns that are read for them."""
    found = []
    for dataset in datasets:
        used = {
            column
            for segment in segments
            if not segment.input
            for column in set(segment.columns) - set(segment.unread.get(dataset.name, ()))
        }
        aliases = {field: branch for field, branch in dataset.aliases.items() if field in used}
        found.append(dataset.model_copy(update={"aliases": aliases}))
    return tuple(found)
