"""Manifests of skims: the sums of generator weights of what `hep.write` has read, for the files that it has written."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from fasthep_parsl.errors import suggest
from fasthep_parsl.ops.skims import SkimBlock, SkimManifest, SkimmedDataset
from fasthep_parsl.plan import PlanSum, extent_of
from fasthep_parsl.sources.headers import Header
from fasthep_parsl.workflow.datasets import DatasetFile, ResolvedDataset

NAME = "manifest.json"
MAX_NAMED = 3


class ManifestError(Exception):
    """A manifest does not fit a dataset: message and hint."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message, self.hint = message, hint


@dataclass(frozen=True)
class Skim:
    """A dataset of a manifest, and the manifest."""

    path: Path
    dataset: SkimmedDataset
    events: Mapping[str, int]


def read_manifest(path: Path) -> SkimManifest:
    """Return the content of a manifest.

    Raises
    ------
    ManifestError
        It cannot be read, or was written by something else.
    """
    try:
        return SkimManifest.model_validate(json.loads(path.read_bytes()))
    except OSError as error:
        raise ManifestError(
            f"`{path}`: {error.strerror}", "give the path of a `manifest.json` of `hep.write`"
        ) from None
    except (ValueError, ValidationError):
        hint = "runs of this version write `results/<StageId>/manifest.json`"
        raise ManifestError(f"`{path}` is not a manifest of `hep.write`", hint) from None


def manifests_beside(files: Sequence[DatasetFile]) -> list[Path]:
    """Return the manifests in the folders of local files that list one of them."""
    found: list[Path] = []
    folders: dict[Path, set[str]] = {}
    for file in files:
        if not file.remote:
            folders.setdefault(Path(file.path).parent, set()).add(Path(file.path).name)
    for folder, names in folders.items():
        path = folder / NAME
        try:
            manifest = read_manifest(path) if path.is_file() else None
        except ManifestError:  # a file of something else
            continue
        if manifest is not None and manifest.skims and names & {_name(file.path) for file in manifest.files}:
            found.append(path)
    return found


def name_of(path: Path) -> str:
    """Return the path of a manifest for people: also that it is of a part of the events."""
    extent = extent_of(read_manifest(path).limit)
    return f"{path} ({extent})" if extent else str(path)


def limited_skims(datasets: Iterable[ResolvedDataset]) -> list[tuple[Path, int]]:
    """Return the manifests beside files of datasets that were written with a limit, and the limit."""
    paths = dict.fromkeys(path for dataset in datasets for path in manifests_beside(dataset.files))
    return [(path, limit) for path in paths if (limit := read_manifest(path).limit) is not None]


def skimmed_sums(
    paths: Sequence[Path], files: Sequence[DatasetFile], headers: Mapping[DatasetFile, Header]
) -> tuple[PlanSum, ...]:
    """Return the sums of weights of the files of a dataset.

    All files of each skimmed dataset that they belong to must be there, because files that are left out could be those
    without survivors. Only files without events may be missing: nothing of them is lost.

    Raises
    ------
    ManifestError
        A file is in no manifest, has other events than there, or is missing; or a sum is not known.
    """
    skims = [skim for path in paths for skim in _skims(path)]
    owners = {name: skim for skim in skims for name in skim.events}
    numbers: dict[str, int] = {}
    for number, file in enumerate(files):
        name = _name(file.path)
        skim = owners.get(name)
        where = ", ".join(f"`{path}`" for path in paths)
        if skim is None:
            raise ManifestError(f"`{name}` is not in {where}", str(suggest(name, owners, what="files", limit=4)))
        if name in numbers:
            raise ManifestError(f"two files have the name `{name}`", "they cannot be told apart in a manifest")
        entries = headers[file].entries
        if not headers[file].problem and entries != skim.events[name]:
            message = f"`{name}` has {entries:,} events, and {skim.events[name]:,} in `{skim.path}`"
            raise ManifestError(message, "the manifest belongs to another run of the skim")
        numbers[name] = number
    touched = {id(skim): skim for name, skim in owners.items() if name in numbers}
    return tuple(block for skim in touched.values() for block in _sums(skim, numbers))


def _skims(path: Path) -> list[Skim]:
    manifest = read_manifest(path)
    if not manifest.skims:
        raise ManifestError(f"`{path}` does not say what was skimmed", "it was written by an older version: skim again")
    events: dict[str, dict[str, int]] = {}
    for file in manifest.files:
        events.setdefault(file.dataset, {})[_name(file.path)] = file.events
    return [Skim(path, skim, events.get(skim.dataset, {})) for skim in manifest.skims]


def _sums(skim: Skim, numbers: Mapping[str, int]) -> list[PlanSum]:
    lost = [name for name, events in skim.events.items() if events and name not in numbers]
    if lost:
        names = ", ".join(f"`{name}`" for name in lost[:MAX_NAMED]) + (" …" if len(lost) > MAX_NAMED else "")
        message = f"{len(lost)} of {len(skim.events)} files of dataset `{skim.dataset.dataset}` in `{skim.path}` are missing: {names}"
        raise ManifestError(
            message, "list all of them, also those with few events: their sum of weights is in the manifest"
        )
    if skim.dataset.why:
        raise ManifestError(
            f"`{skim.path}` has no sum of weights of dataset `{skim.dataset.dataset}`: {skim.dataset.why}"
        )
    return [_sum(skim, block, numbers) for block in skim.dataset.blocks]


def _sum(skim: Skim, block: SkimBlock, numbers: Mapping[str, int]) -> PlanSum:
    if block.weight is None:
        what = f"dataset `{skim.dataset.dataset}` was skimmed only in part"
        raise ManifestError(f"`{skim.path}`: {what}", "resume the run that skims it")
    mine = tuple(sorted(numbers[_name(path)] for path in block.files if _name(path) in numbers))
    return PlanSum(files=mine, events=block.events, weight=block.weight, square=block.square)


def _name(path: str) -> str:
    return PurePosixPath(path).name
