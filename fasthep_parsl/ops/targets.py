"""Where ``hep.write`` writes: names of files and folders, known before anything runs. Imports no arrays."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fasthep_parsl.errors import suggest
from fasthep_parsl.interfaces import OpProblem
from fasthep_parsl.names import file_name, harmful
from fasthep_parsl.plan import Plan

OP = "hep.write"
SUFFIXES = {"parquet": ".parquet", "root": ".root"}
IN_NAMES = ("partition", "dataset", "stage")
IN_PATHS = ("dataset", "stage")


def partition_name(dataset: str, number: int) -> str:
    """Return the name of a partition, which is unique in a plan, given its plan-wide number."""
    return f"{dataset}-{number:06d}"


@dataclass(frozen=True, slots=True)
class OutputTarget:
    """The files of a stage.

    Attributes
    ----------
    stage : str
        Id of the stage.
    path : str
        Template of the folder; empty for the stage's folder in the run directory.
    name : str
        Template of the names of files.
    suffix : str
        Of the format, ``.root``.
    """

    stage: str
    path: str
    name: str
    suffix: str

    def folder(self, dataset: str, results: Path) -> Path:
        """Return the folder for files of a dataset, given that of results (``results/<StageId>``)."""
        return Path(_filled(self.path, dataset=dataset, stage=self.stage)) if self.path else results

    def file(self, dataset: str, partition: str) -> str:
        """Return the name of the file of a partition, which `partition_name` has named."""
        return _filled(self.name, partition=partition, dataset=dataset, stage=self.stage) + self.suffix

    def pattern(self, datasets: Iterable[str] = ()) -> re.Pattern[str]:
        """Return what names of its files look like, and of drafts, which killed workers leave; for any dataset or these."""
        known = "|".join(re.escape(file_name(dataset)) for dataset in datasets)
        dataset = f"(?:{known})" if known else ".+"
        words = {"partition": rf"{dataset}-\d{{6,}}", "dataset": dataset, "stage": re.escape(file_name(self.stage))}
        parts = string.Formatter().parse(self.name)
        whole = "".join(re.escape(text) + (words[key] if key else "") for text, key, _, _ in parts)
        suffix = re.escape(self.suffix)
        return re.compile(rf"{whole}{suffix}|\.{whole}{suffix}\.\d+\.tmp{suffix}")


def _filled(template: str, **words: str) -> str:
    return template.format(**{key: file_name(word) for key, word in words.items()})


def target_of(stage: str, params: Mapping[str, Any]) -> OutputTarget:
    """Return the target of a stage with these parameters."""
    return OutputTarget(
        stage, params.get("path") or "", params.get("name") or f"{{{IN_NAMES[0]}}}", SUFFIXES[params["format"]]
    )


def targets_of(plan: Plan) -> Iterator[OutputTarget]:
    """Yield the targets of all stages that write files."""
    for stage in plan.stages:
        if stage.op == OP:
            yield target_of(stage.id, stage.params)


def partitions_of(plan: Plan) -> Iterator[tuple[str, range]]:
    """Yield each dataset with the plan-wide numbers of its partitions."""
    first = 0
    for dataset in plan.datasets:
        last = first + sum(file.partitions for file in dataset.files)
        yield dataset.name, range(first, last)
        first = last


def files_of(target: OutputTarget, dataset: str, numbers: range) -> set[str]:
    """Return the names of a target's files for partitions of a dataset."""
    return {target.file(dataset, partition_name(dataset, number)) for number in numbers}


# --- what is wrong with templates -----------------------------------------------------------------------------


def template_problems(name: str, path: str | None) -> list[OpProblem]:
    """Return what is wrong with the templates of names and folders."""
    problems = _unknown("name", name, IN_NAMES)
    if not problems and "{partition}" not in name:
        problems.append(OpProblem(("name",), "files of different partitions would have one name", "use {partition}"))
    if "/" in name:
        problems.append(OpProblem(("name",), "a file name has no `/`", "give the directory as `path`"))
    elif name.startswith((".", "-")):
        problems.append(OpProblem(("name",), f"a file name does not begin with `{name[0]}`", "use {partition}"))
    elif len(name.encode()) > 60:
        problems.append(OpProblem(("name",), "a file name is at most 60 characters without what is filled in"))
    if path is None:
        return problems
    problems += _unknown("path", path, IN_PATHS)
    if "://" in path:
        problems.append(OpProblem(("path",), f"`{path}` is a URL", "give a folder, and copy the files later"))
    return problems


def _unknown(key: str, template: str, known: tuple[str, ...]) -> list[OpProblem]:
    if harmful(template):
        return [OpProblem((key,), "there is a control character or a line break in it")]
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        return [OpProblem((key,), f"`{template}`: {error}", "write {{ and }} for braces")]
    problems = []
    for _, word, form, conversion in parts:
        if word is None:
            continue
        if word not in known:
            problems.append(OpProblem((key,), f"`{{{word}}}` is not known here", suggest(word, known)))
        elif form or conversion:
            problems.append(OpProblem((key,), f"`{{{word}}}` takes no format", f"write {{{word}}}"))
    return problems
