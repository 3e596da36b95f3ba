"""Channels of templates: which histogram of which region is a distribution of the fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fasthep_parsl.compiler.stages import CheckedStage
from fasthep_parsl.errors import Checked, Problem, suggest
from fasthep_parsl.ops.axes import DATASET, VARIATION, Axis
from fasthep_parsl.plan import PlanChannel
from fasthep_parsl.workflow.templates import Templates
from fasthep_parsl.workflow.yamldoc import Document, KeyPath, problem

HISTOGRAM = "hep.hist"
BASE: KeyPath = ("analysis", "templates")


@dataclass(frozen=True)
class _Wanted:
    """A histogram in a region, where the workflow names it."""

    stage: str
    region: str
    path: KeyPath


def find_channels(
    templates: Templates, stages: Sequence[CheckedStage], document: Document
) -> Checked[tuple[PlanChannel, ...]]:
    """Return the channels, named by region, histogram or both, whatever is needed to tell them apart.

    Parameters
    ----------
    templates : Templates
        The section.
    stages : sequence of CheckedStage
        The stages that run, with their copies.
    document : Document
        The workflow.
    """
    copies: dict[str, dict[str, CheckedStage]] = {}
    for item in stages:
        if item.op.product and not item.variation:
            copies.setdefault(item.nominal or item.stage.id, {})[item.region] = item
    histograms = {name: found for name, found in copies.items() if _first(found).op.name == HISTOGRAM}
    wanted: list[_Wanted] = []
    problems: list[Problem] = []
    for stage, region, path in _named(templates):
        found = _find(stage, region, path, histograms, copies, document)
        problems += found.problems
        wanted += [
            item for item in found.value if (item.stage, item.region) not in {(w.stage, w.region) for w in wanted}
        ]
    if not wanted and not problems:
        problems.append(problem(document, (*BASE, "histograms"), "E104", "templates need histograms", "name stages"))
    shared = {item.region for item in wanted if sum(other.region == item.region for other in wanted) > 1}
    channels: dict[str, PlanChannel] = {}
    for place in wanted:
        name = _name(place, place.region in shared)
        if name in channels:
            other = channels[name]
            message = (
                f"histogram `{place.stage}` of region `{place.region}` and histogram `{other.stage}` of region"
                f" `{other.region}` would both be `{name}`"
            )
            problems.append(problem(document, place.path, "E127", message, "rename a region or a stage"))
        channels[name] = PlanChannel(name=name, stage=place.stage, region=place.region)
    return Checked(tuple(channels.values()), tuple(problems))


def _first(copies: Mapping[str, CheckedStage]) -> CheckedStage:
    return next(iter(copies.values()))


def _named(templates: Templates) -> Iterator[tuple[str, str | None, KeyPath]]:
    """Yield (stage, region or None for all of its regions, key path)."""
    base = (*BASE, "histograms")
    if isinstance(templates.histograms, Mapping):
        for region, names in templates.histograms.items():
            yield from ((name, region, (*base, region, number)) for number, name in enumerate(names))
    else:
        yield from ((name, None, (*base, number)) for number, name in enumerate(templates.histograms))


def _find(
    stage: str,
    region: str | None,
    path: KeyPath,
    histograms: Mapping[str, Mapping[str, CheckedStage]],
    stages: Mapping[str, Any],
    document: Document,
) -> Checked[list[_Wanted]]:
    found = histograms.get(stage)
    if found is None:
        hint = suggest(stage, histograms, what="histograms")
        message = f"stage `{stage}` is no histogram" if stage in stages else f"no histogram `{stage}`"
        return Checked([], (problem(document, path, "E126", message, hint, name=stage),))
    wrong = _wrong_with(_first(found).params)
    if wrong:
        message, advice = wrong
        return Checked([], (problem(document, path, "E126", f"histogram `{stage}` {message}", advice, name=stage),))
    if region is None:
        return Checked([_Wanted(stage, name, path) for name in found])
    if region not in found:
        hint = suggest(region, [name for name in found if name], what="regions of this histogram")
        message = f"histogram `{stage}` is not filled in region `{region}`"
        return Checked([], (problem(document, path[:-1], "E126", message, hint, on="key", name=region),))
    return Checked([_Wanted(stage, region, path)])


def _name(item: _Wanted, shared: bool) -> str:
    if not item.region:
        return item.stage
    return f"{item.region}_{item.stage}" if shared else item.region


def _wrong_with(params: Any) -> tuple[str, str] | None:
    """Return why a histogram cannot be a template, and what to do; None if it can or its mistakes are reported."""
    if params is None:
        return None
    plain: list[Axis] = [axis for axis in params.axes if axis.source not in (DATASET, VARIATION)]
    if len(plain) != 1:
        return f"has {len(plain)} axes, but a template has one", "fill a histogram of one field"
    if params.variations is not None or any(axis.source == VARIATION for axis in params.axes):
        return "has `variations` of its own", "write them in section `systematics`, where they have names and groups"
    if plain[0].grows:
        return "adds categories when they occur, so that samples would have different bins", "give `bins`"
    if params.storage == "double":
        return "has no sums of squares of weights (`storage: double`)", "use `storage: weighted`"
    return None
