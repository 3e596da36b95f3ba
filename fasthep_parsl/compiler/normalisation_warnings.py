"""Warnings of normalisation: what has no effect, does not fit the data, or is not whole because of a limit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fasthep_parsl.compiler.inputs import Inputs
from fasthep_parsl.compiler.normalisation import LUMI_OP, needed
from fasthep_parsl.compiler.skims import limited_skims
from fasthep_parsl.plan import extent_of
from fasthep_parsl.workflow.datasets import ResolvedDataset
from fasthep_parsl.workflow.model import Workflow


def normalisation_warnings(datasets: Sequence[ResolvedDataset], workflow: Workflow) -> list[str]:
    """Warn of luminosities and sums of weights that have no effect, or do not fit the data."""
    found = []
    given = workflow.data.luminosity
    if isinstance(given, dict):
        eras = {getattr(dataset, "era", "") for dataset in datasets}
        unused = [era for era in given if era not in eras]
        found += [f"`data.luminosity` has a value for era `{era}`, which no dataset has" for era in unused]
        real = {getattr(dataset, "era", "") for dataset in datasets if dataset.eventtype == "data"}
        lacking = [era for era in given if era in eras and era not in real]
        if real:
            found += [
                f"era `{era}` has a luminosity, but no data: its simulation is compared with nothing" for era in lacking
            ]
    named = workflow.data.sum_of_weights or any(dataset.sum_of_weights for dataset in workflow.data.datasets)
    if named and not needed(workflow):
        found.append("`sum_of_weights` has no effect without `data.luminosity`: nothing is normalised")
    return found


def limit_warnings(inputs: Inputs, workflow: Workflow) -> Iterator[str]:
    """Warn of what a limit takes away: sums of weights, data of the luminosity, whole luminosity sections, whole skims."""
    left_out = [item for item in inputs.datasets if inputs.reach.leaves_out(item, inputs.headers)]
    data = [item.name for item in left_out if item.eventtype == "data"]
    normalised = any(how.luminosity for how in inputs.normalisation.values())
    lost = [how.why for how in inputs.normalisation.values() if how.why]
    if left_out and workflow.data.luminosity is not None and not normalised and lost:
        hint = "`sum_of_weights: {expr: genWeight}` or `events` counts what is processed"
        yield f"nothing is normalised: {lost[0]}. {hint}"
    if data and normalised:
        yield f"simulation is normalised to the luminosity of all data, but the limit leaves out some of `{data[0]}`"
    if data and any(stage.op == LUMI_OP for stage in workflow.analysis.stages):
        yield (
            f"the limit leaves out some of `{data[0]}`: the luminosity of `processed_lumis.json` is not that of its"
            " events, because sections may be incomplete"
        )
    for path, limit in limited_skims(inputs.datasets):
        yield f"`{path}` is a skim of the {extent_of(limit)}, not of all events"
