"""Luminosity sections of a run: which certified ones were processed, which are missing, and what is not known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fasthep_parsl.ops.lumi_mask import SeenSections
from fasthep_parsl.ops.lumi_sections import (
    Ranges,
    Sections,
    common_sections,
    number_of,
    read_sections,
    united,
    without,
    written,
)
from fasthep_parsl.plan import Plan, PlanDataset, PlanFile, PlanStage
from fasthep_parsl.tasks import Span
from fasthep_parsl.worker.spans import covers, union

LUMI_OP = "hep.lumi_mask"


@dataclass(frozen=True)
class LumiAccount:
    """Luminosity sections of data.

    Attributes
    ----------
    certified, processed, missing, incomplete : mapping
        Run → ranges. ``processed``: certified sections of what was processed; ``missing``: certified sections of files
        that failed, and of no other file; ``incomplete``: processed sections of which some events may have failed, or
        are behind the limit of the run.
    unlisted : tuple of str
        Files that failed, completely or in part, and do not list their sections.
    surely : bool
        Whether all files list their sections. If not, sections without an event are not known.
    foreign : tuple of str
        Datasets of which no run is certified, if all of their events were planned: the first ones may be of such a run.
    """

    certified: Mapping[int, Ranges] = field(default_factory=dict)
    processed: Mapping[int, Ranges] = field(default_factory=dict)
    missing: Mapping[int, Ranges] = field(default_factory=dict)
    incomplete: Mapping[int, Ranges] = field(default_factory=dict)
    unlisted: tuple[str, ...] = ()
    surely: bool = True
    foreign: tuple[str, ...] = ()

    def summary(self) -> dict[str, Any]:
        """Return numbers of sections for `run.json`."""
        return {
            "certified": number_of(self.certified),
            "processed": number_of(self.processed),
            "missing": number_of(self.missing),
            "incomplete": number_of(self.incomplete),
            "unlisted_files": list(self.unlisted),
            "not_in_the_input": number_of(without(self.certified, united(self.processed, self.missing))),
            "sections_without_events_are_known": self.surely,
        }

    def missing_content(self) -> dict[str, Any]:
        """Return the content of `missing_lumis.json`; empty if nothing is missing."""
        if not (self.missing or self.incomplete or self.unlisted):
            return {}
        return {
            "missing": written(self.missing),
            "incomplete": written(self.incomplete),
            "files_with_unknown_sections": list(self.unlisted),
        }

    def warnings(self, *, luminosity: bool) -> list[str]:
        """Return what does not agree. `luminosity`: whether simulation is normalised to one."""
        if not luminosity:
            return []
        left = without(self.certified, self.processed)
        if not self.surely:  # a section without events looks like one that was not processed: look at runs
            left = {run: ranges for run, ranges in left.items() if run not in self.processed}
        if not left:
            return []
        what = f"{number_of(left):,} of {number_of(self.certified):,} certified luminosity sections"
        where = ", ".join(map(str, list(left)[:4])) + (", …" if len(left) > 4 else "")
        advice = "brilcalc computes that of `results/processed_lumis.json`"
        return [f"{what} are not in the data (runs {where}): does `data.luminosity` belong to the others? {advice}"]


def accounts(
    plan: Plan,
    done: Mapping[int, Iterable[Span]],
    products: Mapping[tuple[str, str], Any],
    golden: Mapping[str, Sections],
) -> dict[str, LumiAccount]:
    """Return stage → its account, for each stage of the workflow that applies a mask.

    Parameters
    ----------
    plan : Plan
        The plan.
    done : mapping
        Segment → the partitions in its products.
    products : mapping
        (stage, product name) → product.
    golden : mapping
        Stage → its certified sections.
    """
    found = {}
    for segment in plan.segments:
        for stage in map(plan.stage, segment.stages):
            if stage.id in golden and not stage.nominal:
                seen = products.get((stage.id, "sections"), SeenSections())
                found[stage.id] = _account(plan, stage, union(done.get(segment.id, ())), seen, golden[stage.id])
    return found


def total(many: Iterable[LumiAccount]) -> LumiAccount:
    """Return the account of several masks: of eras, say."""
    many = list(many)
    processed = united(*(item.processed for item in many))
    return LumiAccount(
        united(*(item.certified for item in many)),
        processed,
        without(united(*(item.missing for item in many)), processed),
        united(*(item.incomplete for item in many)),
        tuple(dict.fromkeys(path for item in many for path in item.unlisted)),
        all(item.surely for item in many),
        tuple(dict.fromkeys(name for item in many for name in item.foreign)),
    )


def _account(plan: Plan, stage: PlanStage, done: list[Span], seen: SeenSections, golden: Sections) -> LumiAccount:
    processed: list[Sections] = []
    lost: list[Sections] = []
    torn: list[Sections] = []
    unlisted: list[str] = []
    foreign: list[str] = []
    surely = True
    for dataset, files in _data(plan, stage):
        mine = seen.rows.get(dataset.name, {})
        own: list[Sections] = [mine]
        for file, span in files:
            sections = None if file.sections is None else read_listed(file.sections)
            surely = surely and sections is not None
            complete = covers(done, span)
            if not complete and sections is None:
                unlisted.append(file.path)
            elif not complete and sections is not None:
                lost.append(sections)
                torn.append(common_sections(sections, mine))
            elif file.events < file.entries:  # sections without events may be behind the limit, too
                torn.append(mine if sections is None else common_sections(sections, mine))
            elif sections is not None:
                own.append(sections)
        processed += own
        if any(own) and not dataset.limited and not united(*own).keys() & golden.keys():
            foreign.append(dataset.name)
    good = common_sections(united(*processed), golden)
    missing = without(common_sections(united(*lost), golden), good)
    incomplete = common_sections(united(*torn), golden)
    return LumiAccount(golden, good, missing, incomplete, tuple(unlisted), surely, tuple(foreign))


def read_listed(sections: Mapping[str, Any]) -> dict[int, Ranges]:
    """Return the sections of a file in the plan."""
    return read_sections({run: [list(pair) for pair in ranges] for run, ranges in sections.items()}) if sections else {}


def _data(plan: Plan, stage: PlanStage) -> Iterator[tuple[PlanDataset, list[tuple[PlanFile, Span]]]]:
    """Yield the datasets of data for which a stage runs, with their files and the partitions of these."""
    for number, first, _ in plan.dataset_partitions():
        dataset = plan.datasets[number]
        start, files = first, []
        for file in dataset.files:
            files.append((file, (start, start + file.partitions)))
            start += file.partitions
        if dataset.eventtype == "data" and (stage.datasets is None or dataset.name in stage.datasets):
            yield dataset, files
