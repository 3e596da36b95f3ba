"""Names of the files and folders that ``hep.write`` writes, known before the run. Imports no array library."""

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
    """Return the name of a partition, unique in a plan, from its number in the plan."""
    return f"{dataset}-{number:06d}"


@dataclass(frozen=True, slots=True)
class OutputTarget:
    """Names of the files that a stage writes.

    Attributes
    ----------
    stage : str
        Id of the stage.
    path : str
        Template of the folder. Empty: the folder of the stage in the run directory.
    name : str
        Template of the file names.
    suffix : str
        Suffix of the format, e.g. ``.root``.
    """

    stage: str
    path: str
    name: str
    suffix: str

    def folder(self, dataset: str, results: Path) -> Path:
        """Return the folder for the files of a dataset. `results` is ``results/<StageId>``."""
        return Path(_filled(self.path, dataset=dataset, stage=self.stage)) if self.path else results

    def file(self, dataset: str, partition: str) -> str:
        """Return the file name of a partition, given its `partition_name`."""
        return _filled(self.name, partition=partition, dataset=dataset, stage=self.stage) + self.suffix

    def pattern(self, datasets: Iterable[str] = ()) -> re.Pattern[str]:
        """Return a pattern for its file names and temporary files, which killed workers leave, of `datasets` or all."""
        known = "|".join(re.escape(file_name(dataset)) for dataset in datasets)
        dataset = f"(?:{known})" if known else ".+"
        values = {"partition": rf"{dataset}-\d{{6,}}", "dataset": dataset, "stage": re.escape(file_name(self.stage))}
        parts = string.Formatter().parse(self.name)
        whole = "".join(re.escape(text) + (values[key] if key else "") for text, key, _, _ in parts)
        suffix = re.escape(self.suffix)
        return re.compile(rf"{whole}{suffix}|\.{whole}{suffix}\.\d+\.tmp{suffix}")


def _filled(template: str, **values: str) -> str:
    return template.format(**{key: file_name(value) for key, value in values.items()})


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
    """Yield each dataset with the numbers of its partitions in the plan."""
    first = 0
    for dataset in plan.datasets:
        last = first + sum(file.partitions for file in dataset.files)
        yield dataset.name, range(first, last)
        first = last


def files_of(target: OutputTarget, dataset: str, numbers: range) -> set[str]:
    """Return the names of a target's files for some partitions of a dataset."""
    return {target.file(dataset, partition_name(dataset, number)) for number in numbers}


# --- problems of templates -----------------------------------------------------------------------------


def template_problems(name: str, path: str | None) -> list[OpProblem]:
    """Return the problems of the templates of file names and folders."""
    problems = _unknown("name", name, IN_NAMES)
    if not problems and "{partition}" not in name:
        problems.append(OpProblem(("name",), "all partitions would have the same file name", "use {partition}"))
    if "/" in name:
        problems.append(OpProblem(("name",), "a file name cannot contain `/`", "give the folder as `path`"))
    elif name.startswith((".", "-")):
        problems.append(OpProblem(("name",), f"a file name cannot begin with `{name[0]}`", "use {partition}"))
    elif len(name.encode()) > 60:
        problems.append(
            OpProblem(("name",), "the template of a file name is longer than 60 bytes", "use a shorter name")
        )
    if path is None:
        return problems
    problems += _unknown("path", path, IN_PATHS)
    if "://" in path:
        problems.append(OpProblem(("path",), f"`{path}` is a URL", "give a folder, and copy the files after the run"))
    return problems


def _unknown(key: str, template: str, known: tuple[str, ...]) -> list[OpProblem]:
    if harmful(template):
        return [OpProblem((key,), "it contains a control character or a line break")]
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        return [OpProblem((key,), f"`{template}`: {error}", "write {{ and }} for braces")]
    problems = []
    for _, word, form, conversion in parts:
        if word is None:
            continue
        if word not in known:
            problems.append(OpProblem((key,), f"unknown placeholder `{{{word}}}`", suggest(word, known)))
        elif form or conversion:
            problems.append(OpProblem((key,), f"`{{{word}}}` does not take a format", f"write {{{word}}}"))
    return problems
