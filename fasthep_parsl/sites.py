"""Sites: YAML profiles that say how workers are obtained somewhere."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from fasthep_parsl import registry
from fasthep_parsl.errors import ConfigError, Problem, suggest
from fasthep_parsl.workflow.includes import load_document
from fasthep_parsl.workflow.model import Execution, Kind
from fasthep_parsl.workflow.translate import problems_of
from fasthep_parsl.workflow.values import Model, Text
from fasthep_parsl.workflow.yamldoc import Document, Node, merge, problem, refuse

PATH_VARIABLE = "FASTHEP_PARSL_SITE_PATH"


class SiteMeta(Model):
    """What people should know of a site."""

    description: Text = Field(description="one line")
    contact: Text | None = Field(None, description="whom to ask: a URL or an address")
    docs_url: Text | None = Field(None, description="the site's own documentation")
    status: Literal["verified", "documented", "unverified", "broken"] = Field(
        "unverified", description="whether it was seen to work"
    )
    verified_on: Text | None = Field(None, description="day when it last worked, `YYYY-MM-DD`")


class SiteFile(Execution):
    """A site profile: the content of ``execution:`` and what people should know."""

    meta: SiteMeta | None = Field(None, description="what people should know of it")
    extends: Text | None = Field(None, description="name of the site that it changes")


@dataclass(frozen=True)
class Site:
    """A site as found.

    Attributes
    ----------
    name : str
        Its name: that of the file without ``.yaml``.
    path : Path
        The file.
    meta : SiteMeta
        What people should know.
    strategy : Kind
        Who creates workers.
    layers : tuple of Document
        Execution layers for `load_workflow`, lowest first: the sites that it extends, then itself.
    """

    name: str
    path: Path
    meta: SiteMeta
    strategy: Kind
    layers: tuple[Document, ...]

    @property
    def execution_layer(self) -> Document:
        """All layers merged into one."""
        return reduce(merge, self.layers)


def search_path() -> list[tuple[Path, str]]:
    """Return (folder, kind of layer) in the order of search.

    ``./site_profiles``, the folders in ``FASTHEP_PARSL_SITE_PATH``, the user's ``fasthep-parsl/sites`` below
    ``~/.config``, then the package's own.
    """
    profile, user = "site profile", "user site file"
    folders = [(Path("site_profiles"), profile)]
    folders += [(Path(item).expanduser(), profile) for item in os.environ.get(PATH_VARIABLE, "").split(os.pathsep)
                if item]  # fmt: skip
    config = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    folders.append((Path(config).expanduser() / "fasthep-parsl" / "sites", user))
    package = Path(__file__).parent
    # a wheel holds the profiles, an editable install has them beside the package
    folders += [(package / "site_profiles", profile), (package.parent / "site_profiles", profile)]
    return folders


def _files(name: str) -> Iterator[tuple[Path, str]]:
    for folder, kind in search_path():
        for suffix in (".yaml", ".yml"):
            path = folder / f"{name}{suffix}"
            if path.is_file():
                yield path, kind


def list_sites() -> dict[str, Path]:
    """Return name → file of every site that can be found, sorted by name. Reads no file."""
    found: dict[str, Path] = {}
    for folder, _ in search_path():
        if folder.is_dir():
            for path in sorted(folder.iterdir()):
                if path.suffix in {".yaml", ".yml"} and not path.name.startswith("."):
                    found.setdefault(path.stem, path)
    return dict(sorted(found.items()))


def load_site(name_or_path: str | Path) -> Site:
    """Read a site profile and the ones that it extends.

    Parameters
    ----------
    name_or_path : str or Path
        A name that is looked for in `search_path`, or a file (with a ``/`` or ending in ``.yaml``).

    Raises
    ------
    ConfigError
        No such site (with close names), or mistakes in the profile, each located.
    """
    text = str(name_or_path)
    if isinstance(name_or_path, Path) or os.sep in text or text.endswith((".yaml", ".yml")):
        path = Path(name_or_path)
        return _load(path.stem, path.expanduser(), "user site file", ())
    found = next(_files(text), None)
    if found is None:
        raise ConfigError(Problem("E143", f"unknown site `{text}`", hint=suggest(text, list_sites(), what="sites")))
    return _load(text, *found, ())


def _load(name: str, path: Path, kind: str, below: tuple[Path, ...]) -> Site:
    layer = kind if kind.startswith("user") else f"{kind} {name}"
    document = load_document(path, layer)
    try:
        profile = SiteFile.model_validate(document.data)
    except ValidationError as error:
        raise refuse(*problems_of(error, SiteFile, document)) from None
    base = _base(profile, document, (*below, path.resolve())) if profile.extends else None
    problems: list[Problem] = []
    if document.has(("strategy",)):
        if profile.strategy.kind not in registry.names("strategies"):
            hint = suggest(profile.strategy.kind, registry.names("strategies"), what="strategies")
            message = f"unknown strategy `{profile.strategy.kind}`"
            problems.append(problem(document, ("strategy",), "E110", message, hint))
    elif base is None:
        message = f"site `{name}` has no `strategy`"
        problems.append(problem(document, (), "E104", message, "write `strategy: local`, or `extends: name`"))
    meta = profile.meta or (base.meta if base else None)
    if meta is None:
        problems.append(problem(document, (), "E104", f"site `{name}` has no `meta`", "write `meta: {description: …}`"))
    if problems or meta is None:
        raise refuse(*problems)
    strategy = profile.strategy if document.has(("strategy",)) or base is None else base.strategy
    return Site(name, path, meta, strategy, (*(base.layers if base else ()), _execution(document)))


def _base(profile: SiteFile, document: Document, seen: Sequence[Path]) -> Site:
    """Return the site that a profile extends: the next file of that name that is not already in use."""
    name = str(profile.extends)
    for path, kind in _files(name):
        if path.resolve() not in seen:
            return _load(name, path, kind, tuple(seen))
    if any(path.stem == name for path in seen):
        message, hint = f"sites extend each other in a circle: `{name}`", "remove one `extends`"
    else:
        message, hint = f"unknown site `{name}`", suggest(name, list_sites(), what="sites")
    raise ConfigError(problem(document, ("extends",), "E143", message, hint))


def _execution(document: Document) -> Document:
    """Return the part of a profile that is the content of ``execution:``."""
    root = document.root
    content: dict[str, Node] = {k: v for k, v in root.value.items() if k not in {"meta", "extends"}}
    return replace(document, root=replace(root, value=content))
