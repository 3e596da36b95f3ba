"""A pixi project: its manifest, ``pixi.toml`` or the tables ``tool.pixi`` of ``pyproject.toml``.

The tables are described in pixi's documentation, ``docs/reference/pixi_manifest.md`` and ``docs/python/pyproject_toml.md``
of github.com/prefix-dev/pixi.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from fasthep_parsl.errors import suggest
from fasthep_parsl.packing.pixi.mistakes import project_error

PIXI_MANIFEST, PYPROJECT, LOCK = "pixi.toml", "pyproject.toml", "pixi.lock"
DEFAULT = "default"
"""Name of the environment, and of the feature, that every project has."""
_TABLE = Mapping[str, Any]


@dataclass(frozen=True)
class PixiFeature:
    """A named part of the requirements of a project. Environments consist of features.

    Attributes
    ----------
    name : str
        Name; ``default`` for the tables that belong to no feature.
    table : mapping
        Its tables.
    place : str
        Key path of its tables in the manifest, empty or with a point at the end.
    """

    name: str
    table: _TABLE = field(repr=False)
    place: str = ""


@dataclass(frozen=True)
class PixiProject:
    """A project.

    Attributes
    ----------
    manifest : Path
        The manifest, an absolute path.
    table : mapping
        Its tables for pixi.
    standard : mapping
        The table ``project`` of a ``pyproject.toml``, and its ``dependency-groups``.
    """

    manifest: Path
    table: _TABLE = field(repr=False)
    standard: _TABLE = field(default_factory=dict, repr=False)

    @property
    def folder(self) -> Path:
        """The folder of the project."""
        return self.manifest.parent

    @property
    def lock(self) -> Path:
        """The lock file."""
        return self.folder / LOCK

    @property
    def name(self) -> str:
        """The name of the project."""
        return str(self.workspace.get("name") or self.standard.get("name") or self.folder.name)

    @cached_property
    def workspace(self) -> _TABLE:
        """The table with channels and platforms."""
        found: _TABLE = self.table.get("workspace") or self.table.get("project") or {}
        return found

    @property
    def environments(self) -> list[str]:
        """Names of all environments."""
        return list(dict.fromkeys([DEFAULT, *self.table.get("environments", {})]))

    def features(self, environment: str) -> list[PixiFeature]:
        """Return the features of an environment, in the order of their priority.

        Raises
        ------
        ConfigError
            The environment or one of its features does not exist.
        """
        if environment not in self.environments:
            hint = suggest(environment, self.environments, what="environments")
            raise project_error(f"`{self.manifest}` has no environment `{environment}`", hint, name=environment)
        entry = self.table.get("environments", {}).get(environment, [])
        names = entry if isinstance(entry, list) else entry.get("features", [])
        without = isinstance(entry, Mapping) and entry.get("no-default-feature", False)
        return [self._feature(name) for name in dict.fromkeys([*names, *([] if without else [DEFAULT])])]

    def channels(self, environment: str) -> list[str]:
        """Return the channels of an environment as the project writes them, in the order of their priority."""
        found: list[tuple[int, str]] = []
        for feature in self.features(environment):
            listed = feature.table.get("channels") if feature.name != DEFAULT else None
            for entry in listed if listed is not None else self.workspace.get("channels", []):
                name, priority = (entry, 0) if isinstance(entry, str) else (entry["channel"], entry.get("priority", 0))
                if name not in (known for _, known in found):
                    found.append((-priority, name))
        return [name for _, name in sorted(found, key=lambda item: item[0])]

    def platforms(self, environment: str) -> dict[str, str]:
        """Return the platforms of an environment: name in the project → platform of conda."""
        found = dict(_platform(entry) for entry in self.workspace.get("platforms", []))
        for feature in self.features(environment):
            if feature.name != DEFAULT and (listed := feature.table.get("platforms")):
                names = [_platform(entry)[0] for entry in listed]
                found = {name: subdir for name, subdir in found.items() if name in names or subdir in names}
        return found

    def tables(self, feature: PixiFeature, platform: str, name: str = "") -> Iterator[tuple[str, _TABLE]]:
        """Yield the tables of a feature that apply on a platform with their key paths, the most general first."""
        yield feature.place, feature.table
        system, _, _ = platform.partition("-")
        selectors = ["unix", *(["macos"] if system == "osx" else []), system, platform, name]
        for selector in dict.fromkeys(filter(None, selectors)):
            if found := feature.table.get("target", {}).get(selector):
                yield f"{feature.place}target.{selector}.", found

    def _feature(self, name: str) -> PixiFeature:
        if name == DEFAULT:
            return PixiFeature(name, self.table)
        features = self.table.get("feature", {})
        groups = {*self.standard.get("optional-dependencies", {}), *self.standard.get("dependency-groups", {})}
        if name not in features and name not in groups:
            hint = suggest(name, {*features, *groups}, what="features")
            raise project_error(f"`{self.manifest}` has no feature `{name}`", hint, name=name)
        return PixiFeature(name, features.get(name, {}), f"feature.{name}.")


def _platform(entry: Any) -> tuple[str, str]:
    """Return the name of a platform in the project, and conda's."""
    if isinstance(entry, str):
        return entry, entry
    subdir = str(entry.get("platform") or entry.get("name"))
    return str(entry.get("name") or subdir), subdir


def find_manifest(start: Path) -> Path | None:
    """Return the manifest in a folder or the nearest folder above it, as pixi finds it; None if there is none."""
    for folder in (start, *start.parents):
        if (folder / PIXI_MANIFEST).is_file():
            return folder / PIXI_MANIFEST
        if (folder / PYPROJECT).is_file() and _is_for_pixi(folder / PYPROJECT):
            return folder / PYPROJECT
    return None


def load_project(manifest: Path) -> PixiProject:
    """Read a manifest.

    Parameters
    ----------
    manifest : Path
        ``pixi.toml``, ``pyproject.toml`` or their folder.

    Raises
    ------
    ConfigError
        It does not exist, or is no manifest of pixi.
    """
    path = manifest.absolute()
    if path.is_dir():
        names = [name for name in (PIXI_MANIFEST, PYPROJECT) if (path / name).is_file()]
        path = path / (names[0] if names else PIXI_MANIFEST)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        hint = "set `manifest` to the `pixi.toml` of your project, or make one with `pixi init`"
        raise project_error(f"cannot read `{path}`: {error.strerror}", hint) from None
    except ValueError as error:
        raise project_error(f"`{path}` is not valid TOML: {error}", "correct it") from None
    if path.name != PYPROJECT:
        project = PixiProject(path, content)
    else:
        standard = {**content.get("project", {}), "dependency-groups": content.get("dependency-groups", {})}
        project = PixiProject(path, content.get("tool", {}).get("pixi", {}), standard)
    if not project.workspace:
        where = "`workspace`" if path.name != PYPROJECT else "`tool.pixi.workspace`"
        raise project_error(
            f"`{path}` is no manifest of pixi: it has no table {where}", "set `manifest` to another file"
        )
    return project


def _is_for_pixi(path: Path) -> bool:
    try:
        return "pixi" in tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {})
    except (OSError, ValueError):
        return False
