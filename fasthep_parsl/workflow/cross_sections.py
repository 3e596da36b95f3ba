"""Cross-sections of datasets: one value in pb, whether the workflow writes `xsec` or `meta.xsec`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fasthep_parsl.errors import Checked, Problem
from fasthep_parsl.resources.units import UnitError
from fasthep_parsl.workflow.datasets import ResolvedDataset
from fasthep_parsl.workflow.model import Workflow
from fasthep_parsl.workflow.normalisation_model import parse_xsec
from fasthep_parsl.workflow.yamldoc import Document, KeyPath, problem

XSEC = "xsec"


def with_cross_sections(
    datasets: Sequence[ResolvedDataset], workflow: Workflow, document: Document
) -> Checked[tuple[ResolvedDataset, ...]]:
    """Return datasets whose ``meta.xsec`` is a number of pb, so that ``dataset.xsec`` is one in expressions."""
    found: list[ResolvedDataset] = []
    problems: list[Problem] = []
    for dataset in datasets:
        written = workflow.data.datasets[dataset.index]
        path = xsec_path(dataset, document)
        given = dataset.meta.get(XSEC)
        xsec = written.xsec
        if given is not None:
            try:
                other = parse_xsec(given)
            except UnitError as error:
                other = None
                if dataset.eventtype != "data":
                    problems.append(problem(document, path, "E105", f"`xsec`: {error.message}", error.hint))
            if xsec is not None and XSEC in written.meta and other != xsec:
                message = f"dataset `{dataset.name}` has the cross-section `{xsec:g}` pb, and `{given}` in `meta`"
                problems.append(problem(document, (*path[:3], XSEC), "E106", message, "remove one of them"))
            xsec = xsec if xsec is not None else other
        meta = {**dataset.meta, XSEC: xsec} if xsec is not None else dataset.meta
        found.append(replace(dataset, meta=meta))
    return Checked(tuple(found), tuple(dict.fromkeys(problems)))


def xsec_path(dataset: ResolvedDataset, document: Document) -> KeyPath:
    """Return where the cross-section of a dataset is written; the dataset itself if it is not."""
    base: KeyPath = ("data", "datasets", dataset.index)
    places: tuple[KeyPath, ...] = ((*base, "meta", XSEC), (*base, XSEC), ("data", "defaults", "meta", XSEC))
    return next((path for path in places if document.has(path)), base)
