"""Find the files of datasets."""

from __future__ import annotations

import glob
import os.path
import shlex
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fasthep_parsl.errors import Checked, Hint, Problem, suggest
from fasthep_parsl.names import collision_key, file_name, harmful
from fasthep_parsl.plan import dataset_facts
from fasthep_parsl.workflow.input_model import Dataset
from fasthep_parsl.workflow.locations import identity, is_url, local_path
from fasthep_parsl.workflow.model import Workflow
from fasthep_parsl.workflow.places import CMS, PlaceFinder
from fasthep_parsl.workflow.storage_model import FileReplicas
from fasthep_parsl.workflow.yamldoc import Document, KeyPath, problem

DEFAULT_EVENTTYPE = "mc"
_DEMO = {"data": "", "agc": " --like agc"}
"""Folder of demo data in `demo` → the options that write it."""


@dataclass(frozen=True, slots=True)
class DatasetFile:
    """A file of a dataset.

    Attributes
    ----------
    path : str
        Absolute path, or URL. If it is in several places, the first of them.
    key : tuple of str and int
        Key path in the workflow (``("data", "datasets", 0, "files", 1)``).
    tree : str
        Tree to read; empty for that of the source.
    replicas : tuple of str
        All places, in the order in which they are tried; empty if there is one.
    dataset : str
        Name of its dataset.
    """

    path: str
    key: KeyPath
    tree: str = ""
    replicas: tuple[str, ...] = ()
    dataset: str = ""

    @property
    def places(self) -> tuple[str, ...]:
        """All places, in the order in which they are tried."""
        return self.replicas or (self.path,)

    @property
    def remote(self) -> bool:
        """Whether one of its places is a URL."""
        return any(map(is_url, self.places))


@dataclass(frozen=True, slots=True)
class ResolvedDataset:
    """A dataset with defaults and files.

    Attributes
    ----------
    name, eventtype, group, era : str
        As in the workflow; an era that is not given is empty.
    meta : dict
        ``meta`` of the dataset, merged over that of the defaults.
    nevents : int or None
        Expected number of events.
    tree : str
        Tree of its files; empty if it is that of the source.
    files : tuple of DatasetFile
        In the order of the workflow; matches of a pattern are sorted.
    index : int
        Position in ``data.datasets``.
    """

    name: str
    eventtype: str
    group: str
    meta: dict[str, Any] = field(default_factory=dict)
    nevents: int | None = None
    tree: str = ""
    files: tuple[DatasetFile, ...] = ()
    index: int = 0
    era: str = ""

    @property
    def facts(self) -> dict[str, Any]:
        """All facts by the key that ``dataset.<key>`` has."""
        return dataset_facts(self.name, self.eventtype, self.group, self.meta, self.era)


def resolve_datasets(workflow: Workflow, document: Document) -> Checked[tuple[ResolvedDataset, ...]]:
    """Find the files of all datasets, without opening them.

    Paths and patterns are relative to the YAML file with the dataset. Problems are patterns without a match, missing
    files, files listed twice, and datasets without files or with the same name.
    """
    found: list[ResolvedDataset] = []
    finder = PlaceFinder(document, workflow.execution.storage.prefixes)
    problems = finder.problems
    names: set[str] = set()
    keys: dict[str, str] = {}
    owners: dict[tuple[object, ...], tuple[str, int, str]] = {}
    for index, fact in enumerate(facts_of(workflow)):
        dataset = workflow.data.datasets[index]
        base: KeyPath = ("data", "datasets", index)
        wrong = _name_taken(dataset.name, names, keys)
        if wrong:
            problems.append(problem(document, (*base, "name"), "E130", *wrong))
        problems += _two_eras(dataset, workflow, document, base)
        read = (fact.tree or workflow.sources[workflow.source_name].tree).strip("/")
        files = [replace(file, tree=fact.tree, dataset=dataset.name) for file in _files_of(dataset, base, finder)]
        own: list[DatasetFile] = []
        for file in files:
            same = {(read, *identity(place)): (dataset.name, index, place) for place in file.places}
            known = next((key for key in same if key in owners), None)
            if known is not None:
                other, where, path = owners[known]
                mine = same[known][2]
                twice = "listed twice" if where == index else f"also in dataset `{other}`"
                message = f"`{_short(mine)}` is {twice}"
                if path != mine:
                    message += f", as `{_short(path) if _short(path) != _short(mine) else path}`"
                hint = "its events would count twice; remove one of them"
                problems.append(problem(document, file.key, "E133", message, hint))
                continue
            owners |= same
            own.append(file)
        found.append(replace(fact, files=tuple(own)))
    return Checked(tuple(found), tuple(problems))


def facts_of(workflow: Workflow) -> tuple[ResolvedDataset, ...]:
    """Return the datasets with defaults, without their files: nothing is looked for."""
    defaults = workflow.data.defaults
    return tuple(
        ResolvedDataset(
            name=dataset.name,
            eventtype=dataset.eventtype or defaults.eventtype or DEFAULT_EVENTTYPE,
            group=dataset.group or defaults.group or "",
            meta={**defaults.meta, **dataset.meta},
            nevents=dataset.nevents,
            tree=workflow.tree_of(dataset) or "",
            index=index,
            era=era_of(dataset, workflow),
        )
        for index, dataset in enumerate(workflow.data.datasets)
    )


def era_of(dataset: Dataset, workflow: Workflow) -> str:
    """Return the era of a dataset, empty if there is none."""
    return dataset.era or workflow.data.defaults.era or ""


def _two_eras(dataset: Dataset, workflow: Workflow, document: Document, base: KeyPath) -> list[Problem]:
    """Refuse an era in `meta` that differs from `era`: expressions see one of them."""
    era, other = era_of(dataset, workflow), {**workflow.data.defaults.meta, **dataset.meta}.get("era")
    if not era or other is None or str(other) == era:
        return []
    at = next((path for path in ((*base, "era"), ("data", "defaults", "era")) if document.has(path)), base)
    message = f"dataset `{dataset.name}` has the era `{era}`, and `{other}` in `meta`"
    return [problem(document, at, "E106", message, "remove one of them")]


def _name_taken(name: str, names: set[str], keys: dict[str, str]) -> tuple[str, str] | None:
    """Return message and hint if the name of a dataset is taken, else add it to `names` and its file name to `keys`."""
    if name in names:
        return f"two datasets have the name `{name}`", "rename one of them"
    names.add(name)
    if not any(char.isalnum() for char in name):
        return f"the name `{name}` has no letter and no digit", "histograms in ROOT files need such a name; rename it"
    other = keys.setdefault(collision_key(name), name)
    if other != name:
        mine, theirs = file_name(name), file_name(other)
        shown = f"`{mine}`" if mine == theirs else f"`{theirs}` and `{mine}`, equal on case-insensitive file systems"
        return f"datasets `{other}` and `{name}` have the same name in files: {shown}", "rename one of them"
    return None


def _files_of(dataset: Dataset, base: KeyPath, finder: PlaceFinder) -> list[DatasetFile]:
    files: list[DatasetFile] = []
    document, problems = finder.document, finder.problems
    if not dataset.files:
        hint = "write `files: [dy_*.root]`"
        message = f"dataset `{dataset.name}` has no files"
        problems.append(problem(document, (*base, "files"), "E134", message, hint))
    listed = document.get((*base, "files"))
    for position, entry in enumerate(dataset.files):
        single = listed is not None and not isinstance(listed.value, list)
        key: KeyPath = (*base, "files") if single else (*base, "files", position)
        if isinstance(entry, FileReplicas):
            files += _placed(finder.replicas(entry, key), key)
        elif finder.is_logical(entry):
            files += _placed(finder.single(entry, key), key)
        else:
            files += _single(entry, key, document, problems)
    return files


def _placed(places: tuple[str, ...], key: KeyPath) -> list[DatasetFile]:
    return [DatasetFile(places[0], key, replicas=places if len(places) > 1 else ())] if places else []


def _single(text: str, key: KeyPath, document: Document, problems: list[Problem]) -> list[DatasetFile]:
    """Return the files of a path, pattern or URL."""
    local = local_path(text)
    if local is None:
        return [DatasetFile(text, key)]
    wanted = Path(local).expanduser()
    full = wanted if wanted.is_absolute() else document.folder_of(key) / wanted
    found, complaint = _expand(full, local)
    if complaint:
        code, message, advice = complaint
        problems.append(problem(document, key, code, message, advice))
    odd = [path for path in found if harmful(str(path))]
    if odd:
        message = f"the path of `{ascii(odd[0].name)[1:-1]}` has a control character or is not UTF-8"
        problems.append(problem(document, key, "E132", message, "rename it, or link to it under another name"))
    return [DatasetFile(str(path), key) for path in found if path not in odd]


def _expand(full: Path, text: str) -> tuple[list[Path], tuple[str, str, Hint] | None]:
    """Return the files that match `full`; if there are none, code, message and hint."""
    normal = Path(os.path.normpath(full))
    if normal.is_file():  # brackets may be part of a file's name
        return [normal], None
    if glob.has_magic(str(full)):
        found = glob.glob(str(normal), recursive=True)  # noqa: PTH207 - Path.glob takes no absolute pattern
        matches = sorted(path for path in map(Path, found) if path.is_file())
        if matches:
            return matches, None
        return [], ("E131", f"no file matches `{text}`", _demo_data(normal.parent) or near_names(normal.parent, None))
    if normal.is_dir():
        return [], ("E132", f"`{text}` is a folder", f"write `{text.rstrip('/')}/*.root`")
    hint = near_names(normal.parent, normal.name)
    if text.startswith(CMS):
        hint = "if it is a logical name, set `execution.storage.prefixes: [root://host/]`"
    return [], ("E132", f"no such file: `{text}`", hint)


def _demo_data(folder: Path) -> str:
    """Return how to get the data of the examples, if a folder that does not exist is theirs."""
    if folder.parts[-2:-1] != ("demo",) or folder.name not in _DEMO or folder.exists():
        return ""
    if folder.is_relative_to(Path(__file__).parents[1]):
        return "examples of an installation are copied before they run: `fasthep-parsl examples FOLDER`"
    shown = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
    return f"write demo data: `fasthep-parsl demo-data {shlex.quote(str(shown))}{_DEMO[folder.name]}`"


def near_names(folder: Path, name: str | None, *, folders: bool = False) -> Hint:
    """Return a hint with the files of `folder` (or its folders), or with those of its nearest parent that exists."""
    while not folder.is_dir() and not glob.has_magic(str(folder)) and folder != folder.parent:
        if not folder.parent.is_dir():
            folder = folder.parent
            continue
        others = [path.name for path in folder.parent.iterdir() if path.is_dir()]
        return f"no folder `{folder}`; {suggest(folder.name, others, what=f'folders in {folder.parent}', limit=5)}"
    if not folder.is_dir():
        return f"searched {folder}"
    names = [path.name for path in folder.iterdir() if (path.is_dir() if folders else path.is_file())]
    if name is None:
        return f"searched {folder} ({len(names)} files)"
    return suggest(name, names, what=f"{'folders' if folders else 'files'} in {folder}", limit=5)


def _short(path: str) -> str:
    return path if is_url(path) else Path(path).name
