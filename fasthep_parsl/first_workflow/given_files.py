"""Datasets of a first workflow, from files, folders, patterns and URLs on the command line."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from fasthep_parsl.errors import ConfigError, Problem
from fasthep_parsl.names import collision_key
from fasthep_parsl.workflow.datasets import near_names
from fasthep_parsl.workflow.locations import local_path

SUFFIXES = (".root", ".parquet", ".pq")
"""Endings of the files of a folder that are taken."""
FARTHEST = 2
"""Most ``..`` at the beginning of a relative path; beyond that, it is written as an absolute one."""
_NUMBER = re.compile(r"^(.+)[._-](?!(?:19|20)\d\d$)\d+$")
"""A name with a number at its end that is no year: a part of a dataset."""


@dataclass(frozen=True, slots=True)
class GivenDataset:
    """Files of a dataset.

    Attributes
    ----------
    name : str
        Its name, from that of the files.
    files : tuple of str
        Absolute paths and URLs.
    written : tuple of str
        How the workflow names them: relative to its folder, as a pattern if that is shorter.
    """

    name: str
    files: tuple[str, ...]
    written: tuple[str, ...]


def given_datasets(given: Sequence[str], folder: Path) -> tuple[GivenDataset, ...]:
    """Return the datasets of files: those with equal names but for a number at the end are one dataset.

    Parameters
    ----------
    given : sequence of str
        Files, folders, patterns and URLs.
    folder : Path
        Folder of the workflow file.

    Raises
    ------
    ConfigError
        A file does not exist, a folder has no files of a known format, or a pattern matches nothing.
    """
    groups: dict[tuple[str, str, str], list[str]] = {}
    for path in dict.fromkeys(file for text in given for file in _files(text)):
        groups.setdefault(_key(path), []).append(path)
    found: list[GivenDataset] = []
    taken: set[str] = set()
    for (place, stem, _), files in groups.items():
        name = _unique(stem, Path(urlsplit(place).path).name, taken)
        taken.add(collision_key(name))
        found.append(GivenDataset(name, tuple(files), _written(files, stem, folder)))
    return tuple(found)


def _files(text: str) -> list[str]:
    local = local_path(text)
    if local is None:
        return [text]
    path = Path(os.path.abspath(Path(local).expanduser()))  # noqa: PTH100 - links remain as they are
    if path.is_dir():
        names = sorted(entry for entry in path.iterdir() if entry.suffix.lower() in SUFFIXES and entry.is_file())
        if not names:
            raise ConfigError(Problem("E131", f"`{text}` has no files {', '.join(f'*{end}' for end in SUFFIXES)}"))
        return list(map(str, names))
    if path.exists():
        return [str(path)]
    if glob.has_magic(str(path)):
        matches = sorted(match for match in glob.glob(str(path), recursive=True) if Path(match).is_file())  # noqa: PTH207
        if not matches:
            raise ConfigError(Problem("E131", f"no file matches `{text}`", hint=near_names(path.parent, None)))
        return matches
    raise ConfigError(Problem("E132", f"no such file: `{text}`", hint=near_names(path.parent, path.name)))


def _stem(path: str) -> str:
    name = unquote(urlsplit(path).path) if "://" in path else path
    return Path(name).stem


def _key(path: str) -> tuple[str, str, str]:
    """Return what the files of a dataset have in common: folder, name without numbers, ending."""
    stem = _stem(path)
    while match := _NUMBER.match(stem):
        stem = match[1]
    return path.rpartition("/")[0], stem, Path(path).suffix


def _unique(stem: str, parent: str, taken: set[str]) -> str:
    stem = " ".join(stem.split())
    stem = stem if any(char.isalnum() for char in stem) else "events"
    for name in (stem, f"{parent}_{stem}", *(f"{stem}_{number}" for number in range(2, 10_000))):
        if collision_key(name) not in taken:
            return name
    return stem


def _written(files: Sequence[str], stem: str, folder: Path) -> tuple[str, ...]:
    """Return files as a workflow in `folder` names them; several as one pattern, if it matches no others."""
    if len(files) > 1 and "://" not in files[0]:
        first = Path(files[0])
        pattern = f"{glob.escape(str(first.parent / stem))}{first.name[len(stem)]}*{glob.escape(first.suffix)}"
        if sorted(glob.glob(pattern)) == sorted(files):  # noqa: PTH207 - an absolute pattern
            return tuple(_relative([pattern], folder))
    return tuple(_relative(files, folder))


def _relative(files: Iterable[str], folder: Path) -> Iterable[str]:
    for file in files:
        if "://" in file:
            yield file
            continue
        relative = os.path.relpath(file, folder)
        odd = relative.startswith("~") or ":" in relative or relative.split("/")[: FARTHEST + 1].count("..") > FARTHEST
        yield file if odd else relative
