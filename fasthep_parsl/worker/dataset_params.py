"""Parameters of stages on a worker: one for all datasets, or one each if they contain facts of datasets."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel

from fasthep_parsl.interfaces import DatasetInfo, FileLookup, Op
from fasthep_parsl.ops.dataset_parameters import depends_on_dataset, for_dataset
from fasthep_parsl.ops.parameters import validate_params
from fasthep_parsl.plan import PlanStage


def params_by_dataset(
    stage: PlanStage, op: Op, datasets: Sequence[DatasetInfo], files: FileLookup
) -> dict[int, BaseModel]:
    """Return index of a dataset → validated parameters of a stage; -1: for all datasets.

    Parameters
    ----------
    stage : PlanStage
        The stage.
    op : Op
        Its op.
    datasets : sequence of DatasetInfo
        All datasets of the plan.
    files : FileLookup
        Finds the files that its parameters name.
    """
    bound = {binding.to for binding in stage.bind}
    if not depends_on_dataset(stage.params):
        return {-1: validate_params(op, stage.params, bound, files=files)}
    found: dict[int, BaseModel] = {}
    known: dict[str, BaseModel] = {}
    for number, dataset in enumerate(datasets):
        if stage.datasets is None or dataset.name in stage.datasets:
            written = for_dataset(stage.params, dataset.facts)
            key = repr(written)
            if key not in known:
                known[key] = validate_params(op, written, bound, files=files)
            found[number] = known[key]
    return found
