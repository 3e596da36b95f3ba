"""What a pixi project asks for: the requirements of an environment on a platform, with their places in the manifest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fasthep_parsl.packing.manifest import normalised
from fasthep_parsl.packing.pixi.project import DEFAULT, PixiFeature, PixiProject

_TABLES = ("dependencies", "host-dependencies", "build-dependencies")
_SOURCES = ("path", "git", "url")


@dataclass(frozen=True, slots=True)
class CondaRequirement:
    """A conda package that a manifest asks for.

    Attributes
    ----------
    name : str
        The package.
    spec : str
        Its version, build and so on, as a MatchSpec without the name.
    place : str
        Key path in the manifest, or the package that asks.
    channel : str
        Its channel as the project writes it; empty if any.
    extras : tuple of str
        Groups of optional dependencies.
    optional : bool
        Whether it need not be there: a constraint, or one with a condition.
    """

    name: str
    spec: str = "*"
    place: str = ""
    channel: str = ""
    extras: tuple[str, ...] = ()
    optional: bool = False


@dataclass(frozen=True, slots=True)
class PypiRequirement:
    """A Python package that a manifest asks for, as a requirement of PEP 508.

    Attributes
    ----------
    text : str
        The requirement.
    place : str
        Key path in the manifest, or the package that asks.
    source : tuple of str
        ``path``, ``git`` or ``url`` and its value, if it comes from there.
    """

    text: str
    place: str = ""
    source: tuple[str, str] | tuple[()] = ()


def conda_requirements(project: PixiProject, environment: str, platform: str, name: str = "") -> list[CondaRequirement]:
    """Return the conda packages that an environment asks for on a platform (`name`: its name in the project)."""
    found: list[CondaRequirement] = []
    for feature in project.features(environment):
        wanted: dict[tuple[str, str], CondaRequirement] = {}
        for table in (*_TABLES, "constraints"):
            for place, tables in project.tables(feature, platform, name):
                for package, value in tables.get(table, {}).items():
                    item = _conda(project, package, value, f"{place}{table}.{package}", table == "constraints")
                    wanted[table, item.name] = item  # what is more special replaces what is general
        found += wanted.values()
        requires = project.standard.get("requires-python") if feature.name == DEFAULT else None
        if requires and not any(package == "python" for _, package in wanted):
            found.append(CondaRequirement("python", requires, "project.requires-python"))
    return found


def pypi_requirements(project: PixiProject, environment: str, platform: str, name: str = "") -> list[PypiRequirement]:
    """Return the Python packages that an environment asks for on a platform (`name`: its name in the project)."""
    found: list[PypiRequirement] = []
    for feature in project.features(environment):
        wanted: dict[str, PypiRequirement] = {}
        for place, tables in project.tables(feature, platform, name):
            for package, value in tables.get("pypi-dependencies", {}).items():
                wanted[normalised(package)] = _pypi(package, value, f"{place}pypi-dependencies.{package}")
        found += wanted.values()
        found += (item for item in _standard(project, feature) if normalised(_name(item.text)) not in wanted)
    return found


def pypi_overrides(project: PixiProject, environment: str) -> dict[str, PypiRequirement]:
    """Return the requirements that replace those of packages: normalised name → requirement."""
    places = [("workspace.", project.workspace), *((item.place, item.table) for item in project.features(environment))]
    return {
        normalised(package): _pypi(package, value, f"{place}pypi-options.dependency-overrides.{package}")
        for place, table in reversed(places)
        for package, value in table.get("pypi-options", {}).get("dependency-overrides", {}).items()
    }


def _conda(project: PixiProject, name: str, value: Any, place: str, optional: bool) -> CondaRequirement:
    if isinstance(value, Mapping) and value.get("workspace"):
        pool = project.workspace.get("dependencies", {}).get(name, "*")
        value = {**(pool if isinstance(pool, Mapping) else {"version": pool}), **value}
    if isinstance(value, str):
        return CondaRequirement(name.lower(), value, place, optional=optional)
    keys = {"version": "version", "build": "build", "build-number": "build_number", "md5": "md5", "sha256": "sha256"}
    parts = [f"{spec}='{value[key]}'" for key, spec in keys.items() if key in value and value[key] != "*"]
    return CondaRequirement(
        name.lower(),
        f"[{','.join(parts)}]" if parts and not any(key in value for key in _SOURCES) else "*",
        place,
        value.get("channel", ""),
        tuple(value.get("extras", ())),
        optional or "when" in value,
    )


def _pypi(name: str, value: Any, place: str) -> PypiRequirement:
    if isinstance(value, str):
        value = {"version": value}
    extras = f"[{','.join(value['extras'])}]" if value.get("extras") else ""
    version = value.get("version", "*")
    marker = f" ; {value['env-markers']}" if value.get("env-markers") else ""
    source = next(((key, str(value[key])) for key in _SOURCES if key in value), ())
    return PypiRequirement(f"{name}{extras}{'' if version == '*' else version}{marker}", place, source)


def _standard(project: PixiProject, feature: PixiFeature) -> Iterator[PypiRequirement]:
    """Yield what the standard tables of a ``pyproject.toml`` add to a feature."""
    if feature.name == DEFAULT:
        for text in project.standard.get("dependencies", []):
            yield PypiRequirement(text, "project.dependencies")
        return
    for text in project.standard.get("optional-dependencies", {}).get(feature.name, []):
        if normalised(_name(text)) != normalised(project.standard.get("name", "")):  # another group of this project
            yield PypiRequirement(text, f"project.optional-dependencies.{feature.name}")
    for text in project.standard.get("dependency-groups", {}).get(feature.name, []):
        if isinstance(text, str):
            yield PypiRequirement(text, f"dependency-groups.{feature.name}")


def _name(text: str) -> str:
    from packaging.requirements import Requirement

    return Requirement(text).name
