"""From a pixi project, or from a pack of pixi-pack, to an installed prefix: what is fetched, built and checked."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from fasthep_parsl.cache_folder import cache_folder
from fasthep_parsl.errors import SiteError
from fasthep_parsl.packing.manifest import this_platform
from fasthep_parsl.packing.pixi.building import build_package, check_out
from fasthep_parsl.packing.pixi.downloads import PackingReport, fetch_conda, fetch_wheels, unheard
from fasthep_parsl.packing.pixi.install import install_conda, install_python_packages, name_origins
from fasthep_parsl.packing.pixi.layout import read_pack, write_pack
from fasthep_parsl.packing.pixi.library import load_rattler
from fasthep_parsl.packing.pixi.lock_file import LockedEnvironment, LockedPypi, read_lock
from fasthep_parsl.packing.pixi.mistakes import project_error
from fasthep_parsl.packing.pixi.programs import (
    check_with_pixi,
    find_program,
    pack_with_pixi_pack,
    program_version,
)
from fasthep_parsl.packing.pixi.project import PixiProject, load_project
from fasthep_parsl.packing.pixi.satisfaction import check_lock
from fasthep_parsl.packing.sources import source_key
from fasthep_parsl.version import __version__

PixiTool = Literal["auto", "pixi-pack", "py-rattler"]
_PACKAGES = "packages"
"""Folder of the cache with downloads."""


@dataclass(frozen=True)
class PixiPackage:
    """A locked environment of a project, ready to be installed.

    Attributes
    ----------
    project : PixiProject
        The project.
    locked : LockedEnvironment
        Its packages.
    program : str
        The program pixi-pack that fetches the packages; empty if py-rattler does.
    """

    project: PixiProject
    locked: LockedEnvironment
    program: str = ""

    @property
    def tool(self) -> str:
        """What fetches the packages, with its version."""
        return program_version(self.program) if self.program else f"py-rattler {load_rattler().__version__}"

    @property
    def sources(self) -> dict[LockedPypi, Path]:
        """The packages that are built from folders of this machine → their folders."""
        found = {item: item.path(self.locked.folder) for item in self.locked.pypi if not item.is_wheel}
        return {item: path for item, path in found.items() if path is not None}

    def key(self, *options: str) -> str:
        """Return a hash of all that determines the installed prefix, and of `options`."""
        texts = [__version__, "packed-pixi", self.locked.name, self.locked.platform, *options]
        texts += [f"{item.file_name} {item.sha256 or item.md5}" for item in self.locked.conda]
        texts += [f"{item.name} {item.version} {item.location} {item.sha256}" for item in self.locked.pypi]
        texts += [f"{item.name} {_source_key(item, path)}" for item, path in self.sources.items()]
        texts += [f"{name} {source_key(self.project.folder)}" for name in self.locked.sources]
        return hashlib.sha256("\0".join(texts).encode()).hexdigest()


@dataclass(frozen=True)
class InstalledEnvironment:
    """An installed prefix.

    Attributes
    ----------
    prefix : Path
        Its folder.
    locked : LockedEnvironment
        Its packages.
    built : tuple of str
        Names of packages that were no wheels.
    wheels : mapping
        Its wheels → their files.
    """

    prefix: Path
    locked: LockedEnvironment
    built: tuple[str, ...] = ()
    wheels: Mapping[LockedPypi, Path] = field(default_factory=dict)


def open_environment(manifest: Path, environment: str, platform: str = "", tool: PixiTool = "auto") -> PixiPackage:
    """Read the lock file of a project and check that it fits its manifest.

    Parameters
    ----------
    manifest : Path
        ``pixi.toml``, ``pyproject.toml`` or their folder.
    environment : str
        Name of the environment.
    platform : str
        Platform of the nodes; this machine's if empty.
    tool : {"auto", "pixi-pack", "py-rattler"}
        What fetches the packages; ``auto``: pixi-pack if it is in `PATH`.

    Raises
    ------
    ConfigError
        There is no lock file, it does not fit the manifest, or has no packages for the platform.
    SiteError
        A program that is needed is missing.
    """
    project = load_project(manifest)
    locked = read_lock(project, environment, platform or this_platform())
    if pixi := find_program("pixi"):
        check_with_pixi(pixi, project, environment, locked.platform_name)
    check_lock(project, locked)
    program = find_program("pixi-pack") if tool != "py-rattler" else ""
    if tool == "pixi-pack" and not program:
        raise SiteError(
            "environment `packed-pixi`: `pixi-pack` is not in `PATH`; install it, or use `tool: py-rattler`"
        )
    if locked.sources and not program:
        raise project_error(
            f"`{locked.sources[0]}` is a conda package that pixi builds from its source",
            "install `pixi-pack`, which can do it, or make it a dependency in `pypi-dependencies`",
            name=locked.sources[0],
        )
    return PixiPackage(project, locked, program)


def install_package(package: PixiPackage, work: Path, report: PackingReport = unheard) -> InstalledEnvironment:
    """Install an environment of a project into the folder ``prefix`` of `work`.

    Parameters
    ----------
    package : PixiPackage
        From `open_environment`.
    work : Path
        An empty folder.
    report : callable
        Called with what is done. It names the program or library that fetches the packages.

    Raises
    ------
    SiteError
        A package cannot be fetched, built or installed, or has another checksum than the lock file.
    """
    locked, prefix = package.locked, work / "prefix"
    report(f"fetching packages with {package.tool}", 0, 0)
    wheels: dict[LockedPypi, Path] = {}
    if package.program:
        locked, wheels = _with_pixi_pack(package, work / "pack")
    install_conda(locked, prefix, report=report)
    if not package.program:
        ready = [item for item in locked.pypi if item.is_wheel]
        wheels |= fetch_wheels(locked, ready, cache_folder() / _PACKAGES, report)
    name_origins(prefix, {item.name: item.url for item in package.locked.conda})
    built = _build(package, prefix, work / "built", report)
    locked, wheels = replace(locked, pypi=package.locked.pypi), {**wheels, **built}
    install_python_packages(locked, wheels, prefix, report=report)
    return InstalledEnvironment(prefix, locked, tuple(sorted(item.name for item in built)), wheels)


def install_pack(pack: Path, work: Path, platform: str = "", report: PackingReport = unheard) -> InstalledEnvironment:
    """Install a pack that pixi-pack has written into the folder ``prefix`` of `work`.

    Parameters
    ----------
    pack : Path
        ``environment.tar``, or a self-extracting ``environment.sh``.
    work, report
        See `install_package`.
    platform : str
        Platform of the nodes; this machine's if empty.

    Raises
    ------
    SiteError
        It is no pack, or one for another platform.
    """
    folder = work / "pack"
    folder.mkdir(parents=True)
    report("reading the pack", 0, 0)
    locked, wheels = read_pack(pack, folder)
    wanted = platform or this_platform()
    if locked.platform != wanted:
        raise SiteError(f"environment `packed-pixi`: `{pack}` is for `{locked.platform}`, the nodes are `{wanted}`")
    install_conda(locked, work / "prefix", report=report)
    name_origins(work / "prefix", {})
    install_python_packages(locked, wheels, work / "prefix", report=report)
    return InstalledEnvironment(work / "prefix", locked, (), wheels)


def write_pixi_pack(
    manifest: Path,
    environment: str,
    target: Path,
    *,
    platform: str = "",
    tool: PixiTool = "py-rattler",
    report: PackingReport = unheard,
) -> InstalledEnvironment:
    """Write an environment of a project in the layout of pixi-pack, so that ``pixi-unpack`` can read it.

    Packages that are no wheels are built; pixi-pack itself refuses them.

    Parameters
    ----------
    manifest, environment, platform, tool
        See `open_environment`.
    target : Path
        The pack, such as ``environment.tar``.
    report : callable
        Called with what is done.

    Returns
    -------
    InstalledEnvironment
        What the pack contains. Its prefix is removed.
    """
    package = open_environment(manifest, environment, platform, tool)
    with TemporaryDirectory(prefix="fasthep-parsl-") as folder:
        installed = install_package(package, Path(folder), report)
        archives = fetch_conda(installed.locked.conda, cache_folder() / _PACKAGES, report)
        write_pack(installed.locked, archives, installed.wheels, target, report)
    return installed


def _with_pixi_pack(package: PixiPackage, folder: Path) -> tuple[LockedEnvironment, dict[LockedPypi, Path]]:
    """Let pixi-pack fetch the packages, and check that they are the locked ones."""
    folder.mkdir(parents=True)
    pack = folder.with_name("environment.tar")
    locked = package.locked
    pack_with_pixi_pack(package.program, package.project, locked.name, locked.platform, pack)
    found, files = read_pack(pack, folder, locked.name)
    pack.unlink()
    got = {(item.name, item.version, item.build, item.sha256) for item in found.conda}
    wanted = {(item.name, item.version, item.build, item.sha256) for item in locked.conda}
    for name, version, *_ in sorted(wanted - got) or (sorted(got - wanted) if not locked.sources else []):
        raise SiteError(
            f"environment `packed-pixi`: the pack of pixi-pack differs from the lock file in `{name} {version}`"
        )
    paths = {path.name: path for path in files.values()}
    ready = [item for item in locked.pypi if item.is_wheel]
    missing = next((item for item in ready if item.file_name not in paths), None)
    if missing is not None:
        raise SiteError(
            f"environment `packed-pixi`: the pack of pixi-pack lacks the locked wheel `{missing.file_name}`"
        )
    local = [replace(item, location=str(paths[item.file_name])) for item in ready]
    checked = fetch_wheels(locked, local, folder)  # compares their checksums
    return replace(found, platform_name=locked.platform_name, sources=locked.sources), {
        item: checked[own] for item, own in zip(ready, local, strict=True)
    }


def _build(package: PixiPackage, prefix: Path, folder: Path, report: PackingReport) -> dict[LockedPypi, Path]:
    """Build the packages that are no wheels."""
    sources = [item for item in package.locked.pypi if not item.is_wheel]
    built = {}
    for number, item in enumerate(sources):
        report(f"building a wheel of {item.name}", number, len(sources))
        own = folder / str(number)
        own.mkdir(parents=True)
        source = item.path(package.locked.folder)
        if source is None and item.url.startswith("git+"):
            source = check_out(item, own / "repository")
        elif source is None:
            source = fetch_wheels(package.locked, [item], cache_folder() / _PACKAGES)[item]
        built[item] = build_package(item, source, _building_python(package.locked, prefix), own / "wheel")
    return built


def _building_python(locked: LockedEnvironment, prefix: Path) -> Path:
    """Return the Python that builds wheels: that of the environment, or this one if it has the same version."""
    if locked.platform == this_platform():
        return prefix / "bin" / "python"
    if locked.python.split(".")[:2] == [str(part) for part in sys.version_info[:2]]:
        return Path(sys.executable)
    raise SiteError(
        f"environment `packed-pixi`: packages that are no wheels cannot be built for Python {locked.python} on "
        f"`{locked.platform}` here; build them there, and lock their wheels"
    )


def _source_key(package: LockedPypi, path: Path) -> str:
    if not path.exists():
        raise SiteError(f"environment `packed-pixi`: the source of `{package.name}`, `{path}`, does not exist")
    return source_key(path) if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()
