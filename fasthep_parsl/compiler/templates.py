"""Check ``analysis.templates`` and put it into the plan: channels, samples, pseudodata, and what fit tools need. Pure."""

from __future__ import annotations

import string
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from fasthep_parsl.compiler.stages import CheckedStage
from fasthep_parsl.compiler.template_channels import BASE, find_channels
from fasthep_parsl.errors import Checked, Hint, Problem, suggest
from fasthep_parsl.names import file_name
from fasthep_parsl.plan import PlanRate, PlanSample, PlanTemplates, PlanTerm, PlanVariation
from fasthep_parsl.workflow.datasets import ResolvedDataset
from fasthep_parsl.workflow.loader import LoadedWorkflow
from fasthep_parsl.workflow.templates import Templates
from fasthep_parsl.workflow.yamldoc import Document, KeyPath, problem

_PLACES = ("region", "sample", "variation", "histogram")


def plan_templates(
    loaded: LoadedWorkflow,
    stages: Sequence[CheckedStage],
    datasets: Sequence[ResolvedDataset],
    variations: Sequence[PlanVariation] | None,
) -> Checked[PlanTemplates | None]:
    """Return the templates of a workflow, None if it has none.

    Parameters
    ----------
    loaded : LoadedWorkflow
        The workflow.
    stages : sequence of CheckedStage
        The stages that run, with their copies.
    datasets : sequence of ResolvedDataset
        Its datasets.
    variations : sequence of PlanVariation or None
        Its systematic variations; None if they are not known yet, and what depends on them is not checked.
    """
    templates = loaded.workflow.analysis.templates
    if templates is None:
        return Checked(None)
    checker = _Checker(templates, datasets, variations, loaded.document)
    channels = find_channels(templates, stages, loaded.document)
    samples = checker.samples()
    planned = PlanTemplates(
        channels=channels.value,
        samples=samples,
        data=checker.data(),
        pseudodata=checker.pseudodata(samples),
        pseudodata_name=templates.pseudodata.name if templates.pseudodata else "pseudodata",
        rates=checker.rates(samples),
        formats=tuple(dict.fromkeys(templates.formats)),
        names=templates.names,
    )
    checker.overlaps(planned)
    if checker.pattern():
        checker.collisions(planned)
    checker.fit(planned)
    return Checked(planned, (*channels.problems, *checker.problems))


def unused_datasets(planned: PlanTemplates | None, datasets: Iterable[ResolvedDataset],
                    variations: Iterable[PlanVariation]) -> list[str]:  # fmt: skip
    """Warn of datasets that are in no sample."""
    if planned is None:
        return []
    used = {name for sample in planned.samples for name in sample.datasets} | set(planned.data)
    used |= {name for variation in variations for name in variation.replaces.values()}
    return [
        f"dataset `{item.name}` is in no sample of `analysis.templates`" for item in datasets if item.name not in used
    ]


class _Checker:
    """Resolves names and collects problems."""

    def __init__(
        self,
        templates: Templates,
        datasets: Sequence[ResolvedDataset],
        variations: Sequence[PlanVariation] | None,
        document: Document,
    ) -> None:
        self.templates = templates
        self.known = variations is not None
        variations = variations or ()
        self.variations = {variation.name: variation for variation in variations}
        instead = {
            other: (name, variation.name) for variation in variations for name, other in variation.replaces.items()
        }
        replaced = {name for variation in variations for name in variation.replaces}
        self.instead = {name: why for name, why in instead.items() if name not in replaced}
        self.datasets = {dataset.name: dataset for dataset in datasets}
        self.document = document
        self.problems: list[Problem] = []

    def report(self, path: KeyPath, code: str, message: str, hint: Hint = "", name: str = "") -> None:
        self.problems.append(problem(self.document, (*BASE, *path), code, message, hint, name=name))

    def samples(self) -> tuple[PlanSample, ...]:
        """Return the samples. By default each group of simulated datasets is one, and each dataset without a group."""
        found: dict[str, tuple[str, ...]] = {}
        for name, patterns in self.templates.samples.items():
            found[name] = self.matching(patterns, ("samples", name))
            if not patterns:
                self.report(("samples", name), "E126", f"sample `{name}` has no datasets", "name datasets")
        if not self.templates.samples:
            data = set(self.data())
            for dataset in self.datasets.values():
                if dataset.name not in self.instead and dataset.name not in data and dataset.eventtype != "data":
                    name = file_name(dataset.group or dataset.name)
                    found[name] = (*found.get(name, ()), dataset.name)
        for number, name in enumerate(self.templates.signal):
            if name not in found:
                self.report(
                    ("signal", number), "E126", f"no sample `{name}`", suggest(name, found, what="samples"), name
                )
        return tuple(
            PlanSample(name=name, datasets=names, signal=name in self.templates.signal) for name, names in found.items()
        )

    def data(self) -> tuple[str, ...]:
        """Return the datasets with data. By default those that are in no sample."""
        if self.templates.data is not None:
            return self.matching(self.templates.data, ("data",), report=False)
        patterns = [pattern for texts in self.templates.samples.values() for pattern in texts]
        used = self.matching(patterns, ("samples",), report=False)
        return tuple(name for name, item in self.datasets.items() if item.eventtype == "data" and name not in used)

    def matching(self, patterns: Sequence[str], path: KeyPath, *, report: bool = True) -> tuple[str, ...]:
        """Return the datasets that patterns name, those that only take the place of others left out."""
        found: dict[str, None] = {}
        for number, pattern in enumerate(patterns):
            names = [name for name in self.datasets if fnmatchcase(name, pattern)]
            at = (*path, number)
            if not names and report:
                hint = suggest(pattern, self.datasets, what="datasets")
                self.report(at, "E126", f"no dataset `{pattern}`", hint, pattern)
            if pattern in self.instead and report:
                replaced, variation = self.instead[pattern]
                message = f"dataset `{pattern}` takes the place of `{replaced}` in variation `{variation}`"
                self.report(at, "E126", message, "remove it: it is a variation, not a sample", pattern)
            found |= dict.fromkeys(name for name in names if name not in self.instead)
        return tuple(found)

    def overlaps(self, planned: PlanTemplates) -> None:
        """Report datasets that are in two samples, or in a sample and in the data."""
        if self.templates.data is not None:
            self.matching(self.templates.data, ("data",))
        owners = dict.fromkeys(planned.data, "the data")
        for sample in planned.samples:
            for name in sample.datasets:
                if name in owners:
                    message = f"dataset `{name}` is in sample `{sample.name}` and in {owners[name]}"
                    self.report(("samples", sample.name), "E127", message, "its events would count twice", name)
                owners[name] = f"sample `{sample.name}`"

    def pseudodata(self, samples: Sequence[PlanSample]) -> tuple[PlanTerm, ...] | None:
        """Return the terms of pseudodata: by default all samples."""
        wanted = self.templates.pseudodata
        if wanted is None:
            return None
        known = [sample.name for sample in samples]
        if not wanted.sum:
            return tuple(PlanTerm(sample=name) for name in known)
        for number, term in enumerate(wanted.sum):
            at = ("pseudodata", "sum", number)
            if term.sample not in known:
                hint = suggest(term.sample, known, what="samples")
                self.report((*at, "sample"), "E126", f"no sample `{term.sample}`", hint, term.sample)
            if term.variation and self.known and term.variation not in self.variations:
                hint = suggest(term.variation, self.variations, what="variations")
                self.report((*at, "variation"), "E126", f"no variation `{term.variation}`", hint, term.variation)
        return tuple(
            PlanTerm(sample=term.sample, variation=term.variation or "", weight=term.weight) for term in wanted.sum
        )

    def rates(self, samples: Sequence[PlanSample]) -> tuple[PlanRate, ...]:
        """Return the uncertainties of normalisations."""
        known = tuple(sample.name for sample in samples)
        found = []
        groups = {variation.group for variation in self.variations.values()}
        for name, rate in self.templates.rates.items():
            for number, sample in enumerate(rate.samples):
                if sample not in known:
                    hint = suggest(sample, known, what="samples")
                    self.report(("rates", name, "samples", number), "E126", f"no sample `{sample}`", hint, sample)
            if name in groups:
                message = f"`{name}` is also a group of variations: one parameter of the fit would have both effects"
                self.report(("rates", name), "E127", message, "rename one of them", name)
            found.append(PlanRate(name=name, size=rate.size, samples=rate.samples or known))
        return tuple(found)

    def pattern(self) -> bool:
        """Return whether names of templates can be made; report why not."""
        names, path = self.templates.names, ("names",)
        try:
            fields = [field for _, field, spec, convert in string.Formatter().parse(names) if field is not None or spec]
        except ValueError as error:
            self.report(path, "E106", f"`{names}` is not valid: {error}", "e.g. `{region}_{sample}_{variation}`")
            return False
        unknown = [field for field in fields if field not in _PLACES]
        text = file_name(names.replace("{", "").replace("}", ""))
        if unknown:
            hint = suggest(str(unknown[0]), _PLACES, what="known")
            self.report(path, "E106", f"`{{{unknown[0]}}}` means nothing in names of templates", hint, str(unknown[0]))
        elif fields.count("variation") != 1 or "sample" not in fields:
            self.report(path, "E106", "names of templates need `{sample}` and `{variation}`, which is in them once")
        elif text != names.replace("{", "").replace("}", ""):
            self.report(path, "E106", "names of templates may have letters, digits, `_`, `-` and `.` only")
        else:
            return True
        return False

    def collisions(self, planned: PlanTemplates) -> None:
        """Report templates that would have the same name."""
        owners: dict[str, str] = {}
        samples = [sample.name for sample in planned.samples]
        extra = [planned.data_name] if planned.data else []
        extra += [planned.pseudodata_name] if planned.pseudodata is not None else []
        for channel in planned.channels:
            for sample in (*samples, *extra):
                for variation in ("", *(self.variations if sample not in extra or sample in samples else ())):
                    what = f"{sample}{f' in {variation}' if variation else ''} of {channel.name}"
                    name = planned.name(channel, sample, variation)
                    if name in owners:
                        message = f"two templates would be `{name}`: {owners[name]}, and {what}"
                        hint = "rename a region, sample or variation, or write other `names`"
                        self.report(("names",), "E127", message, hint)
                        return
                    owners[name] = what
        for sample in set(samples).intersection(extra):
            self.report(("samples", sample), "E127", f"a sample cannot be named `{sample}`", "rename it", sample)

    def twice(self) -> None:
        """Report variations of one group and direction: they would be one side of one parameter."""
        owners: dict[tuple[str, str], str] = {}
        for name, variation in self.variations.items():
            key = (variation.group, variation.direction)
            if variation.direction and key in owners:
                message = f"`{owners[key]}` and `{name}` are both the direction `{key[1]}` of group `{key[0]}`"
                self.report(("formats",), "E128", message, "give each pair a `group` of its own", name)
            owners.setdefault(key, name)

    def fit(self, planned: PlanTemplates) -> None:
        """Report what the formats need and the templates do not have."""
        if planned.formats:
            self.twice()
            self.needs(planned)
        tools = list(self.templates.formats)
        if "cabinetry" in tools and "{histogram}" in planned.names:
            hint = "`{region}` has the name of the histogram in it where that is needed"
            self.report(("names",), "E128", "cabinetry has no path for `{histogram}`", hint)
        paired = [number for number, tool in enumerate(tools) if tool != "cabinetry"]
        if paired:
            self.directions(tools[paired[0]], ("formats", paired[0]))

    def needs(self, planned: PlanTemplates) -> None:
        """Report that there is nothing to fit. A name that does not exist is reported where it is."""
        at, tool = ("formats", 0), self.templates.formats[0]
        if not planned.observed and not self.templates.data:
            hint = "name datasets in `data`, or write `pseudodata: {}` for the sum of all samples"
            self.report(at, "E128", f"format `{tool}` needs data, and the workflow has none", hint)
        if not self.templates.signal:
            hint = "e.g. `signal: [ttbar]`"
            self.report(at, "E128", f"format `{tool}` needs `signal`: samples whose normalisation is fitted", hint)

    def directions(self, tool: str, at: KeyPath) -> None:
        """Report variations with a direction and without their opposite."""
        groups: dict[str, dict[str, PlanVariation]] = {}
        for variation in self.variations.values():
            if variation.direction:
                groups.setdefault(variation.group, {}).setdefault(variation.direction, variation)
        for group, found in groups.items():
            (one, *others) = found.values()
            lacking = "down" if one.direction == "up" else "up"
            if not others:
                message = f"format `{tool}` needs both directions, and `{group}` has `{one.name}` only"
                hint = f"add one with `direction: {lacking}`, or remove `direction`: then it is mirrored"
                self.report(at, "E128", message, hint, group)
            elif one.datasets != others[0].datasets:
                message = f"format `{tool}` needs both directions, and `{one.name}` and `{others[0].name}` apply to"
                self.report(at, "E128", f"{message} different datasets", "give them the same `applies_to`", group)
