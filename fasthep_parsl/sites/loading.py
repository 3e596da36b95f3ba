"""Load site profiles, with the profiles that they extend."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path

from pydantic import ValidationError

from fasthep_parsl import registry
from fasthep_parsl.errors import ConfigError, Problem, suggest
from fasthep_parsl.site_search import BASE, find_files, list_sites
from fasthep_parsl.sites.model import Requirement, Site, SiteFile, SiteMeta
from fasthep_parsl.workflow.execution_model import Execution
from fasthep_parsl.workflow.execution_spellings import respell_execution
from fasthep_parsl.workflow.includes import load_document
from fasthep_parsl.workflow.layers import expand, spell_out
from fasthep_parsl.workflow.overrides import split_key
from fasthep_parsl.workflow.translate import problems_of
from fasthep_parsl.workflow.yamldoc import Document, Node, merge, problem, refuse

NOT_EXECUTION = ("meta", "extends", "requires")


def load_site(name_or_path: str | Path) -> Site:
    """Load a site profile, with the profiles that it extends.

    The merged profile is checked, so a file that extends another one can contain a single key. An environment variable
    that is not set is not a mistake here; see `load_workflow`.

    Parameters
    ----------
    name_or_path : str or Path
        A name, to be found in `search_path`, or a file (with a ``/``, or ending in ``.yaml``).

    Raises
    ------
    ConfigError
        There is no such site (the hint has similar names), it is a base, or the profile has mistakes.
    """
    text = str(name_or_path)
    if isinstance(name_or_path, Path) or os.sep in text or text.endswith((".yaml", ".yml")):
        path = Path(name_or_path)
        name, file, kind = path.stem, path.expanduser(), "user site file"
    else:
        found = next(find_files(text), None)
        if found is None:
            hint = suggest(text, list_sites(), what="sites")
            raise ConfigError(Problem("E143", f"unknown site `{text}`", hint=hint, name=text))
        name, (file, kind) = text, found
    if name.startswith(BASE):
        message = f"`{name}` is a base that profiles extend, not a site"
        raise ConfigError(Problem("E143", message, hint=f"write a profile with `extends: {name}`, and run on that one"))
    return _site(name, file, _chain(name, file, kind, ()))


@dataclass(frozen=True)
class _File:
    name: str
    document: Document

    @property
    def execution(self) -> Document:
        """The content of ``execution:``."""
        root = self.document.root
        content: dict[str, Node] = {k: v for k, v in root.value.items() if k not in NOT_EXECUTION}
        return replace(self.document, root=replace(root, value=content))


def _chain(name: str, path: Path, kind: str, above: tuple[Path, ...]) -> tuple[_File, ...]:
    """Return the profile and the profiles that it extends, lowest first."""
    respelled = respell_execution(load_document(path, kind if kind.startswith("user") else f"{kind} {name}"))
    if respelled.problems:
        raise refuse(*respelled.problems)
    document = spell_out(respelled.document)
    extended = document.get(("extends",))
    below: tuple[_File, ...] = ()
    if extended is not None and isinstance(extended.value, str) and extended.value.strip():
        below = _base(extended.value.strip(), document, (*above, path.resolve()))
    return (*below, _File(name, document))


def _base(name: str, document: Document, seen: Sequence[Path]) -> tuple[_File, ...]:
    """Return the profile that is extended and those below: the next file with this name that is not in `seen`."""
    for path, kind in find_files(name):
        if path.resolve() not in seen:
            return _chain(name, path, kind, tuple(seen))
    if any(path.stem == name for path in seen):
        message = f"sites extend each other in a circle: `{name}`"
        raise ConfigError(problem(document, ("extends",), "E143", message, "remove one `extends`"))
    hint = suggest(name, {**list_sites(), **list_sites(bases=True)}, what="sites")
    raise ConfigError(problem(document, ("extends",), "E143", f"unknown site `{name}`", hint, name=name))


def _site(name: str, path: Path, files: tuple[_File, ...]) -> Site:
    documents = [_with_own_meta(files, number) for number in range(len(files))]
    whole = reduce(merge, documents)
    known, unclear = expand(whole, {document.root.layer for document in documents})
    problems = [item for item in unclear if item.code != "E147"]
    try:
        profile = SiteFile.model_validate(known.data)
    except ValidationError as error:
        raise refuse(*problems, *problems_of(error, SiteFile, known)) from None
    requires, found = _requirements(profile, whole)
    problems += found
    if not whole.has(("strategy",)):
        message = f"site `{name}` has no `strategy`"
        problems.append(problem(whole, (), "E104", message, "write `strategy: local`, or `extends: name`"))
    elif known.has(("strategy", "kind")) and profile.strategy.kind not in registry.names("strategies"):
        hint = suggest(profile.strategy.kind, registry.names("strategies"), what="strategies")
        message = f"unknown strategy `{profile.strategy.kind}`"
        problems.append(problem(whole, ("strategy", "kind"), "E110", message, hint, name=profile.strategy.kind))
    meta: SiteMeta | None = profile.meta
    if meta is None:
        problems.append(problem(whole, (), "E104", f"site `{name}` has no `meta`", "write `meta: {description: …}`"))
    if problems or meta is None:
        raise refuse(*problems)
    return Site(name, path, meta, profile.strategy, tuple(file.execution for file in files), requires)


def _with_own_meta(files: tuple[_File, ...], number: int) -> Document:
    """Return a document, without its ``meta`` if a file above it has one: a description is not inherited in part."""
    document = files[number].document
    if not any(file.document.has(("meta",)) for file in files[number + 1 :]):
        return document
    content = {key: node for key, node in document.root.value.items() if key != "meta"}
    return replace(document, root=replace(document.root, value=content))


def _requirements(profile: SiteFile, document: Document) -> tuple[tuple[Requirement, ...], list[Problem]]:
    found: list[Requirement] = []
    problems: list[Problem] = []
    for key, text in profile.requires.items():
        at = ("requires", key)
        try:
            path = split_key(key)
        except ValueError:
            problems.append(
                problem(document, at, "E106", f"`{key}` is not a key", "write `strategy.account`", on="key")
            )
            continue
        if path[0] not in Execution.model_fields:
            hint = suggest(path[0], Execution.model_fields, what="keys")
            message = f"`requires` names a key that profiles do not have: `{key}`"
            problems.append(problem(document, at, "E106", message, hint, on="key"))
            continue
        found.append(Requirement(path, text, document.marks.key(at)))
    return tuple(found), problems
