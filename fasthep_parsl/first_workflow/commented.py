"""The text of a first workflow: YAML with comments for someone who knows YAML and not this package."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from fasthep_parsl.first_workflow.first_choice import FirstChoice
from fasthep_parsl.first_workflow.given_files import GivenDataset
from fasthep_parsl.first_workflow.nice_bins import number_text
from fasthep_parsl.first_workflow.ranking import clean
from fasthep_parsl.plan import EventType

_PLAIN = re.compile(r"(?:(?:\.\./)+|/)?[A-Za-z][A-Za-z0-9_]*(?:[A-Za-z0-9_./*-]*[A-Za-z0-9_*])?")
_WORDS = {"yes", "no", "on", "off", "true", "false", "null", "y", "n"}
_CUT = re.compile(r"[A-Za-z_()][\w.()]* (?:>=|==) -?[\w.()+-]+")


@dataclass(frozen=True, slots=True)
class Contents:
    """What the workflow is about.

    Attributes
    ----------
    file : str
        Name of the workflow file.
    datasets : tuple of GivenDataset
        The datasets.
    eventtypes : dict
        Dataset → ``mc`` or ``data``.
    tree : str
        The tree; empty for Parquet.
    collections : tuple of str
        Collections of the files, for a comment.
    weight : bool
        Whether all files have ``genWeight``.
    """

    file: str
    datasets: tuple[GivenDataset, ...]
    eventtypes: dict[str, EventType]
    tree: str = ""
    collections: tuple[str, ...] = ()
    weight: bool = False


def workflow_text(about: Contents, choice: FirstChoice) -> str:
    """Return the workflow."""
    return "\n".join([*_head(about), *_data(about), *_source(about), *_fields(choice), *_stages(about, choice), ""])


def quoted(text: str) -> str:
    """Return a text as YAML reads it: in quotes if it could be something else."""
    plain = _PLAIN.fullmatch(text) and text.lower() not in _WORDS
    return text if plain else json.dumps(text, ensure_ascii=False)


def _head(about: Contents) -> list[str]:
    file = about.file
    commands = {
        f"fasthep-parsl plan {file}": "checks this file and shows the plan; starts nothing",
        f"fasthep-parsl run {file}": "writes results, plots and report.html to the folder run",
        "fasthep-parsl inspect FILE": "lists the branches of an input file",
        "fasthep-parsl ops list": "lists what stages can do",
    }
    width = max(map(len, commands))
    return [
        "# A first analysis: one cut and one histogram. Change what you like, and run it again with --force.",
        "#",
        *(f"#   {command:<{width}}   {what}" for command, what in commands.items()),
        'version: "1.0"',
        "",
    ]


def _data(about: Contents) -> list[str]:
    lines = [
        "# The input files.",
        "data:",
        "  datasets:",
        "    # A dataset is a set of files with the same facts. To add one, add a line with another name.",
        "    #   files      paths relative to this file, patterns such as data/dy_*.root, or URLs (root://, https://)",
        "    #   eventtype  mc: simulation, stacked in plots; data: points with errors",
        "    #   xsec       cross-section in pb, to scale simulation to `luminosity`: {name: dy, xsec: 6077.22, …}",
    ]
    for dataset in about.datasets:
        kind = about.eventtypes[dataset.name]
        if len(dataset.written) == 1:
            file = quoted(dataset.written[0])
            lines.append(f"    - {{name: {quoted(dataset.name)}, eventtype: {kind}, files: [{file}]}}")
            continue
        lines += [f"    - name: {quoted(dataset.name)}", f"      eventtype: {kind}", "      files:"]
        lines += [f"        - {quoted(file)}" for file in dataset.written]
    return [*lines, ""]


def _source(about: Contents) -> list[str]:
    if not about.tree:
        return [
            "# How events are read: each row of the Parquet files is one.",
            "sources:",
            "  events: {kind: parquet}",
            "",
        ]
    return [
        "# How events are read: each entry of this tree is one.",
        "sources:",
        f"  events: {{kind: root_tree, tree: {quoted(about.tree)}}}",
        "",
    ]


def _fields(choice: FirstChoice) -> list[str]:
    used = [item for item in (choice.branch, choice.cut.branch) if item is not None and item.renamed]
    if not used:
        return []
    lines = ["# Branches whose names cannot be used in expressions get others here.", "fields:"]
    lines += [f"  {quoted(item.field)}: {{branch: {quoted(item.branch)}}}" for item in dict.fromkeys(used)]
    return [*lines, ""]


def _stages(about: Contents, choice: FirstChoice) -> list[str]:
    cut = choice.cut.expression
    cut = cut if _CUT.fullmatch(cut) else json.dumps(cut, ensure_ascii=False)
    name = clean(choice.branch.field)
    per = "each object of these events is one entry" if choice.branch.info.shape else "one entry per event"
    lines = ["analysis:", "  # Stages run one after the other. Each reads the events that pass the stage before."]
    if about.collections:
        lines.append(f"  # Some collections of these files: {', '.join(about.collections)}")
    lines += [
        "  stages:",
        "    # Cuts, one per line: only events that pass all of them go on. They are counted in a table (cutflow).",
        "    - id: Cut                        # a name of your choice",
        "      op: hep.selection.cutflow      # `fasthep-parsl ops show hep.selection.cutflow` lists its parameters",
        "      params:",
        "        selection:",
        "          All:",
        f"            - {cut}",
        "",
        f"    # A histogram: {per}. `source` is a branch or an expression of branches.",
        f"    - id: {quoted(_stage_id(name))}",
        "      op: hep.hist",
        "      params:",
        "        dataset_axis: true           # one histogram per dataset",
        "        axes:",
        f"          - name: {quoted(name)}",
        f"            source: {quoted(choice.branch.field)}",
        *_bins(choice),
        f"            label: {quoted(_label(choice.branch.branch))}",
        *([f"            unit: {choice.unit}"] if choice.unit else []),
    ]
    if about.weight:
        lines.append("        # weight_expr: genWeight     # events count with this weight")
    return lines


def _stage_id(name: str) -> str:
    return f"{name}_histogram" if name.lower() in {"cut", "events"} else name


def _label(branch: str) -> str:
    """Return a branch as a label: `$` would begin a formula."""
    text = " ".join(branch.replace("$", " ").split())
    return text or "values"


def _bins(choice: FirstChoice) -> Sequence[str]:
    if choice.branch.is_bool:
        return ["            type: bool               # false and true"]
    if choice.bins is None:
        known = ", ".join(json.dumps(text, ensure_ascii=False) for text in choice.categories)
        more = [f"            bins: [{known}]"] if known else []
        return ["            type: category           # a bin for each text", *more]
    bins = choice.bins
    low, high = number_text(bins.low), number_text(bins.high)
    return [f"            bins: {{nbins: {bins.nbins}, low: {low}, high: {high}}}"]
