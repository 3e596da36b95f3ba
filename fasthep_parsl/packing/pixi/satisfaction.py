"""Whether a lock file satisfies its manifest: by content, since files have no useful times after ``git clone``.

The rules are pixi's own (``crates/pixi_core/src/lock_file/satisfiability`` of github.com/prefix-dev/pixi): the channels are
the same, every requirement is met by a locked package, so are the requirements of these packages, and no package is
there that nothing asks for.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fasthep_parsl.packing.manifest import normalised
from fasthep_parsl.packing.pixi.library import causes, load_rattler
from fasthep_parsl.packing.pixi.lock_file import LockedConda, LockedEnvironment, LockedPypi
from fasthep_parsl.packing.pixi.mistakes import project_error
from fasthep_parsl.packing.pixi.project import PYPROJECT, PixiProject
from fasthep_parsl.packing.pixi.wanted_packages import (
    CondaRequirement,
    PypiRequirement,
    conda_requirements,
    pypi_overrides,
    pypi_requirements,
)

if TYPE_CHECKING:
    from packaging.requirements import Requirement

_MACHINES = {"64": "x86_64", "32": "i686"}
_SYSTEMS = {
    "linux": ("linux", "Linux", "posix"),
    "osx": ("darwin", "Darwin", "posix"),
    "win": ("win32", "Windows", "nt"),
}


@dataclass
class _Walk:
    """What was found on the way from the manifest through the locked packages."""

    locked: LockedEnvironment
    conda: dict[str, LockedConda]
    pypi: dict[str, LockedPypi]
    provided: dict[str, LockedConda]
    marker: dict[str, str]
    overrides: dict[str, PypiRequirement]
    used: set[str] = field(default_factory=set)
    seen: set[tuple[str, str]] = field(default_factory=set)


def check_lock(project: PixiProject, locked: LockedEnvironment) -> None:
    """Check that the locked packages of an environment satisfy the manifest.

    Raises
    ------
    ConfigError
        They do not. The message names the first requirement that is not met.
    """
    if wrong := first_mismatch(project, locked):
        message = f"`{project.lock}` does not fit `{project.manifest.name}` any more: {wrong}"
        raise project_error(message, f"run `pixi lock` in `{project.folder}`")


def first_mismatch(project: PixiProject, locked: LockedEnvironment) -> str:
    """Return the first thing in which lock file and manifest differ, empty if they agree."""
    place = (locked.name, locked.platform, locked.platform_name)
    if wrong := _channels(project, locked) or _platforms(project, locked):
        return wrong
    walk = _walk_of(locked, pypi_overrides(project, locked.name))
    return (
        _conda_walk(walk, conda_requirements(project, *place))
        or _pypi_walk(walk, pypi_requirements(project, *place), project)
        or _surplus(walk)
    )


def _walk_of(locked: LockedEnvironment, overrides: dict[str, PypiRequirement]) -> _Walk:
    provided: dict[str, LockedConda] = {}
    for package in locked.conda:
        purls = getattr(package.record, "purls", None)
        names = [purl.rpartition("/")[2].partition("@")[0].partition("?")[0] for purl in purls or ()]
        for name in names or [package.name]:
            provided[normalised(name)] = package
    return _Walk(
        locked,
        {package.name: package for package in locked.conda},
        {package.name: package for package in locked.pypi},
        provided,
        marker_environment(locked.platform, locked.python),
        overrides,
    )


def marker_environment(platform: str, python: str) -> dict[str, str]:
    """Return the variables of markers (PEP 508) for a platform of conda and a version of Python."""
    system, _, machine = platform.partition("-")
    sys_platform, platform_system, os_name = _SYSTEMS.get(system, (system, system.title(), "posix"))
    return {
        "implementation_name": "cpython",
        "implementation_version": python,
        "os_name": os_name,
        "platform_machine": _MACHINES.get(machine, machine),
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": platform_system,
        "platform_version": "",
        "python_full_version": python,
        "python_version": ".".join(python.split(".")[:2]),
        "sys_platform": sys_platform,
    }


def _channels(project: PixiProject, locked: LockedEnvironment) -> str:
    rattler = load_rattler()
    config = rattler.ChannelConfig(root_dir=str(project.folder))
    wanted = [rattler.Channel(name, config).base_url.rstrip("/") for name in project.channels(locked.name)]
    found = [rattler.Channel(name, config).base_url.rstrip("/") for name in locked.channels]
    if wanted == found:
        return ""
    return f"the channels are {_listed(wanted)}, locked are {_listed(found)}"


def _platforms(project: PixiProject, locked: LockedEnvironment) -> str:
    wanted = project.platforms(locked.name)
    subdir = wanted.get(locked.platform_name)
    if subdir is None and locked.platform in wanted.values():
        return ""
    if subdir is None:
        return f"the platforms are {_listed(wanted)}, locked is `{locked.platform_name}`"
    return (
        ""
        if subdir == locked.platform
        else f"platform `{locked.platform_name}` is `{subdir}`, locked is `{locked.platform}`"
    )


def _conda_walk(walk: _Walk, requirements: Iterable[CondaRequirement]) -> str:
    """Follow the requirements of conda packages; return what is not met."""
    rattler = load_rattler()
    waiting = list(requirements)
    while waiting:
        wanted = waiting.pop(0)
        if wanted.name.startswith("__") or wanted.name in walk.locked.sources:  # the system, or built by pixi
            walk.used.add(wanted.name)
            continue
        package = walk.conda.get(wanted.name)
        if package is None:
            if wanted.optional:
                continue
            return f"{wanted.place} asks for `{_shown(wanted)}`, which is not locked"
        try:
            fits = package.record.matches(rattler.MatchSpec(f"{wanted.name} {wanted.spec}"))
        except Exception as error:  # noqa: BLE001 - the library raises classes of its own
            return f"{wanted.place} is no version of conda, `{wanted.spec}`: {causes(error)}"
        if not fits or not _from_channel(package, wanted.channel, walk.locked):
            return f"{wanted.place} asks for `{_shown(wanted)}`, locked is `{package.name} {package.version} {package.build}`"
        walk.used.add(package.name)
        waiting += _conda_needs(walk, package, wanted.extras)
    return ""


def _conda_needs(walk: _Walk, package: LockedConda, extras: Iterable[str]) -> list[CondaRequirement]:
    """Return the requirements of a package that were not followed yet."""
    rattler = load_rattler()
    found = []
    for extra in ("", *extras):
        if (package.name, extra) in walk.seen:
            continue
        walk.seen.add((package.name, extra))
        for text in package.record.extra_depends.get(extra, []) if extra else package.record.depends:
            spec = rattler.MatchSpec(text)
            name, _, rest = text.strip().partition(" ")
            place = f"package `{package.name} {package.version}`"
            conditional = bool(getattr(spec, "condition", None))
            plain = name.partition("[")[0].rpartition("::")[2].lower()
            rest = f"{name[len(name.partition('[')[0]) :]} {rest}".strip()
            rest = "*" if conditional or not rest else rest
            found.append(CondaRequirement(plain, rest, place, extras=tuple(spec.extras or ()), optional=conditional))
    return found


def _from_channel(package: LockedConda, channel: str, locked: LockedEnvironment) -> bool:
    if not channel:
        return True
    rattler = load_rattler()
    config = rattler.ChannelConfig(root_dir=str(locked.folder))
    return str(package.url).startswith(rattler.Channel(channel, config).base_url.rstrip("/") + "/")


def _pypi_walk(walk: _Walk, requirements: Iterable[PypiRequirement], project: PixiProject) -> str:
    """Follow the requirements of Python packages; return what is not met."""
    from packaging.requirements import InvalidRequirement, Requirement

    waiting = [(wanted, "") for wanted in requirements]
    while waiting:
        wanted, extra = waiting.pop(0)
        try:
            requirement = Requirement(wanted.text)
        except InvalidRequirement as error:
            return f"{wanted.place} is no requirement of a Python package, `{wanted.text}`: {error}"
        if requirement.marker is not None and not requirement.marker.evaluate({**walk.marker, "extra": extra}):
            continue
        if override := walk.overrides.get(normalised(requirement.name)):
            wanted, requirement = override, Requirement(override.text)
        package = walk.pypi.get(normalised(requirement.name))
        if package is None:
            if wrong := _by_conda(walk, requirement, wanted):
                return wrong
            continue
        if wrong := _other_pypi(package, requirement, wanted, project):
            return wrong
        walk.used.add(f"pypi:{package.name}")
        for group in ("", *sorted(requirement.extras)):
            if (f"pypi:{package.name}", group) not in walk.seen:
                walk.seen.add((f"pypi:{package.name}", group))
                place = f"package `{' '.join(filter(None, (package.name, package.version)))}`"
                waiting += [(PypiRequirement(text, place), group) for text in _pypi_needs(package, project, group)]
    return ""


def _by_conda(walk: _Walk, requirement: Requirement, wanted: PypiRequirement) -> str:
    """Return why no conda package meets a requirement, empty if one does."""
    package = walk.provided.get(normalised(requirement.name))
    if package is None:
        return f"{wanted.place} asks for `{wanted.text}`, which is not locked"
    if requirement.specifier and not requirement.specifier.contains(package.version, prereleases=True):
        return f"{wanted.place} asks for `{wanted.text}`, locked is `{package.name} {package.version}`"
    walk.used.add(package.name)
    return _conda_walk(walk, _conda_needs(walk, package, ()))


def _other_pypi(package: LockedPypi, requirement: Requirement, wanted: PypiRequirement, project: PixiProject) -> str:
    """Return in what a locked package differs from a requirement, empty if it meets it."""
    version = package.version or _project_table(package, project).get("version", "")
    if requirement.specifier and version and not requirement.specifier.contains(version, prereleases=True):
        return f"{wanted.place} asks for `{wanted.text}`, locked is `{package.name} {version}`"
    kind, value = wanted.source or ("", "")
    if kind == "path":
        place = package.path(project.folder)
        same = place is not None and place == Path(project.folder, value).resolve()
    elif kind == "git":
        same = package.url.startswith("git+") or ".git" in package.url
    elif kind == "url":
        same = package.url == value.partition("#")[0]
    else:
        same = True
    return "" if same else f"{wanted.place} asks for {kind} `{value}`, locked is `{package.location}`"


def _pypi_needs(package: LockedPypi, project: PixiProject, extra: str) -> list[str]:
    """Return the requirements of a package: those of today if it is a folder of this machine, else the locked ones."""
    table = _project_table(package, project)
    if not table or {"dependencies", "optional-dependencies"} & set(table.get("dynamic", [])):
        return [str(text) for text in package.package.requires_dist]
    groups = table.get("optional-dependencies", {})
    named = [texts for name, texts in groups.items() if extra and normalised(name) == normalised(extra)]
    return [*table.get("dependencies", []), *(text for texts in named for text in texts)]


def _project_table(package: LockedPypi, project: PixiProject) -> dict[str, Any]:
    """Return the table ``project`` of a package that is a folder of this machine; empty if it is none."""
    place = package.path(project.folder)
    try:
        content = tomllib.loads(Path(place, PYPROJECT).read_text(encoding="utf-8")) if place else {}
    except (OSError, ValueError):
        return {}
    found: dict[str, Any] = content.get("project", {})
    return found


def _surplus(walk: _Walk) -> str:
    """Return what nothing asks for."""
    if walk.locked.sources:  # what they ask for is not in the lock file
        return ""
    found = {package.name: package.version for package in walk.locked.conda}
    found |= {f"pypi:{package.name}": package.version for package in walk.locked.pypi}
    surplus = next((name for name in found if name not in walk.used), None)
    return f"nothing asks for `{surplus.removeprefix('pypi:')} {found[surplus]}`, which is locked" if surplus else ""


def _shown(wanted: CondaRequirement) -> str:
    return f"{wanted.name} {wanted.spec}".removesuffix(" *") + (f" from {wanted.channel}" if wanted.channel else "")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"
