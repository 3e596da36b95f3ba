"""Files that parameters of stages name: what they contain, which parameters name them, and where their copies are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import Field

from fasthep_parsl.plan.base import Frozen
from fasthep_parsl.plan.stages import PlanCode, PlanStage

FOLDER = "files"
"""Folder with the copies, in `code` of the run directory."""


class FileUse(Frozen):
    """A parameter that names a file."""

    stage: str
    key: tuple[str | int, ...] = Field(description="key path in the parameters of the stage")
    text: str = Field("", description="its value, if it contains facts of datasets and names several files; else empty")

    def __str__(self) -> str:
        """Return the stage and the parameter: ``Corrected.corrections[0]``."""
        return self.stage + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.key)


class PlanParameterFile(Frozen):
    """A file or folder that parameters name. Workers read a copy of it."""

    name: str = Field(description="name without its folder; also that of the copy")
    sha256: str = Field(description="hash of the content; of a folder, of the names and contents of its files")
    size: int = Field(description="bytes")
    path: str = Field(description="absolute path on the submit side; not in the hash of the plan")
    folder: bool = False
    files: tuple[PlanCode, ...] = Field((), description="for a folder: its files, relative to it")
    uses: tuple[FileUse, ...] = ()

    @property
    def place(self) -> str:
        """Path of the copy, relative to `code` of the run directory. Different contents have different places."""
        return f"{FOLDER}/{self.sha256[:16]}/{self.name}"


def merged_files(files: Iterable[PlanParameterFile]) -> tuple[PlanParameterFile, ...]:
    """Return each file once, with all parameters that name it."""
    found: dict[tuple[str, bool], PlanParameterFile] = {}
    for file in files:
        known = found.get((file.place, file.folder))
        uses = (*known.uses, *file.uses) if known else file.uses
        found[file.place, file.folder] = (known or file).model_copy(update={"uses": uses})
    return tuple(found.values())


def without_paths(stages: Sequence[PlanStage], files: Iterable[PlanParameterFile]) -> tuple[PlanStage, ...]:
    """Return stages whose parameters do not contain the paths of `files`: their content counts, not their place."""
    keys: dict[str, list[tuple[str | int, ...]]] = {}
    for use in (use for file in files for use in file.uses):
        keys.setdefault(use.stage, []).append(use.key)
    return tuple(
        stage.model_copy(update={"params": _without(stage.params, keys[stage.id])}) if stage.id in keys else stage
        for stage in stages
    )


def _without(value: Any, keys: Sequence[tuple[str | int, ...]]) -> Any:
    """Return `value` with None at `keys`."""
    if () in keys:
        return None
    inner: dict[str | int, list[tuple[str | int, ...]]] = {}
    for first, *rest in keys:
        inner.setdefault(first, []).append(tuple(rest))
    if isinstance(value, dict):
        return {key: _without(item, inner[key]) if key in inner else item for key, item in value.items()}
    return [_without(item, inner[number]) if number in inner else item for number, item in enumerate(value)]
