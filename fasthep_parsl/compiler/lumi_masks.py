"""Check masks of luminosity sections against the sections that the files of data list."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from fasthep_parsl.compiler.inputs import Inputs
from fasthep_parsl.compiler.stages import CheckedStage
from fasthep_parsl.errors import Problem
from fasthep_parsl.workflow.datasets import ResolvedDataset
from fasthep_parsl.workflow.yamldoc import Document, problem

LUMI_OP = "hep.lumi_mask"
MAX_RUNS = 3


def check_lumi_masks(stages: Sequence[CheckedStage], inputs: Inputs, document: Document) -> list[Problem]:
    """Return a problem for each mask that certifies no run of a dataset, if its files list their runs."""
    found = []
    for item, _ in _masks(stages):
        for dataset in _data(item, inputs):
            params: Any = item.params_of(dataset.name)
            golden, runs = _golden(params), _runs(dataset, inputs)
            part = inputs.reach.leaves_out(dataset, inputs.headers)  # others of its runs may be certified
            if golden and runs and not part and not runs & golden:
                message = f"`{params.file.name}` certifies no run of dataset `{dataset.name}`"
                hint = f"it has the runs {_range(golden)}, the data {_range(runs)}: is it the file of another year?"
                found.append(problem(document, (*item.path, "params", "file"), "E214", message, hint))
    return found


def mask_warnings(stages: Sequence[CheckedStage], inputs: Inputs) -> list[str]:
    """Warn of masks without data, and of masks that may not see all sections."""
    found = []
    by_id = {item.stage.id: item for item in stages}
    for item, _ in _masks(stages):
        data = list(_data(item, inputs))
        if not data:
            found.append(f"stage `{item.stage.id}`: no dataset has `eventtype: data`, so the mask has no effect")
        unlisted = [dataset.name for dataset in data if _runs(dataset, inputs) is None]
        if unlisted and item.input and by_id[item.input].op.name != "hep.define":
            found.append(
                f"stage `{item.stage.id}` reads the stream of `{item.input}`, and the files of `{unlisted[0]}` do not list"
                " their luminosity sections: sections without events there are not in `processed_lumis.json`"
            )
    return found


def _masks(stages: Iterable[CheckedStage]) -> Iterator[tuple[CheckedStage, Any]]:
    for item in stages:
        if item.op.name == LUMI_OP and item.params is not None and not item.nominal:
            yield item, item.params


def _golden(params: Any) -> set[int]:
    from fasthep_parsl.ops.lumi_mask import load_sections

    try:
        return set(load_sections(params.file))
    except (OSError, ValueError):  # reported with the stage
        return set()


def _data(item: CheckedStage, inputs: Inputs) -> Iterator[ResolvedDataset]:
    for dataset in inputs.datasets:
        if dataset.eventtype == "data" and (item.datasets is None or dataset.name in item.datasets):
            yield dataset


def _runs(dataset: ResolvedDataset, inputs: Inputs) -> set[int] | None:
    """Return the runs that the files of a dataset list; None if a file lists none."""
    listed = [inputs.headers[file].summaries.sections for file in dataset.files]
    return None if None in listed else {int(run) for sections in listed for run in sections or ()}


def _range(runs: set[int]) -> str:
    return f"{min(runs)}–{max(runs)}" if len(runs) > 1 else str(min(runs))
