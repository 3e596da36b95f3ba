"""The lock file of a pixi project: the packages of an environment on a platform, with their checksums."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from fasthep_parsl.errors import suggest
from fasthep_parsl.packing.manifest import normalised
from fasthep_parsl.packing.pixi.library import causes, load_rattler
from fasthep_parsl.packing.pixi.mistakes import project_error
from fasthep_parsl.packing.pixi.project import PixiProject


@dataclass(frozen=True, slots=True)
class LockedConda:
    """A conda package of a lock file.

    Attributes
    ----------
    name, version, build, subdir : str
        What it is.
    url : str
        Where it comes from.
    file_name : str
        Name of its archive.
    sha256, md5 : str
        Checksums of the archive, hexadecimal; empty if the lock file has none.
    record : object
        The record of py-rattler.
    """

    name: str
    version: str
    build: str
    subdir: str
    url: str
    file_name: str
    sha256: str
    md5: str
    record: Any = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class LockedPypi:
    """A package of a lock file from a Python package index, a repository or a folder.

    Attributes
    ----------
    name, version : str
        What it is: the normalised name, and the version if the lock file has one.
    location : str
        A URL, or a path that is relative to the lock file.
    sha256 : str
        Checksum, hexadecimal; empty if the lock file has none.
    package : object
        The package of py-rattler.
    """

    name: str
    version: str
    location: str
    sha256: str
    package: Any = field(repr=False, compare=False)

    @property
    def url(self) -> str:
        """The location without the marks of pixi."""
        return self.location.removeprefix("direct+").partition("#")[0]

    @property
    def is_wheel(self) -> bool:
        """Whether it is a wheel, which is installed as it is."""
        return self.url.endswith(".whl") and not self.url.startswith("git+")

    @property
    def file_name(self) -> str:
        """The last part of its location."""
        return PurePosixPath(unquote(urlsplit(self.url).path)).name

    def path(self, folder: Path) -> Path | None:
        """Return its place if it is in a file or folder of this machine; `folder` is that of the lock file."""
        if self.url.startswith("file://"):
            return Path(unquote(urlsplit(self.url).path))
        return None if "://" in self.url else Path(folder, self.url).resolve()


@dataclass(frozen=True, slots=True)
class LockedEnvironment:
    """The packages of an environment on a platform.

    Attributes
    ----------
    name, platform : str
        Names of the environment, and of conda's platform.
    platform_name : str
        Name of the platform in the project.
    folder : Path
        Folder of the lock file.
    channels : tuple of str
        Channels of the environment.
    conda, pypi
        The packages, in the order of their names.
    sources : tuple of str
        Conda packages that pixi builds from sources: their names.
    """

    name: str
    platform: str
    platform_name: str
    folder: Path
    channels: tuple[str, ...]
    conda: tuple[LockedConda, ...]
    pypi: tuple[LockedPypi, ...] = ()
    sources: tuple[str, ...] = ()

    @property
    def python(self) -> str:
        """Version of Python, empty if it has none."""
        return next((package.version for package in self.conda if package.name == "python"), "")


def read_lock(project: PixiProject, environment: str, platform: str) -> LockedEnvironment:
    """Return the packages of an environment on a platform.

    Parameters
    ----------
    project : PixiProject
        The project.
    environment : str
        Name of the environment.
    platform : str
        Name of the platform in the project, or conda's.

    Raises
    ------
    ConfigError
        There is no lock file, it cannot be read, or it has no packages for the environment on the platform.
    SiteError
        py-rattler is not installed.
    """
    rattler = load_rattler()
    again = f"run `pixi lock` in `{project.folder}`"
    if not project.lock.is_file():
        raise project_error(
            f"there is no `{project.lock}`: the packages of `{project.manifest.name}` are not locked", again
        )
    try:
        lock = rattler.LockFile.from_path(project.lock)
    except Exception as error:  # noqa: BLE001 - the library raises several classes of its own
        raise project_error(f"cannot read `{project.lock}`: {causes(error)}", again) from None
    found = lock.environment(environment)
    if found is None:
        names = sorted(name for name, _ in lock.environments())
        hint = suggest(environment, names, what="environments") if environment not in project.environments else again
        raise project_error(f"`{project.lock}` has no environment `{environment}`", hint, name=environment)
    chosen = _platform(found, environment, platform, project)
    conda, pypi, sources = _packages(found.packages(chosen) or [])
    if not conda:
        raise project_error(f"`{project.lock}` has no packages for `{environment}` on `{platform}`", again)
    channels = tuple(str(channel) for channel in found.channels())
    subdir = str(chosen.subdir)
    return LockedEnvironment(environment, subdir, chosen.name, project.folder, channels, conda, pypi, sources)


def _platform(found: Any, environment: str, platform: str, project: PixiProject) -> Any:
    """Return the platform with a name, else the first of conda's platform."""
    platforms = found.platforms()
    for matches in (lambda item: item.name == platform, lambda item: str(item.subdir) == platform):
        if chosen := next(filter(matches, platforms), None):
            return chosen
    names = ", ".join(sorted(f"`{item.name}`" for item in platforms)) or "none"
    raise project_error(
        f"`{project.lock}` has no packages of `{environment}` for the platform `{platform}`; it has {names}",
        f"add it with `pixi workspace platform add {platform}`, or set `platform` to that of the nodes",
        name=platform,
    )


def _packages(
    packages: list[Any],
) -> tuple[tuple[LockedConda, ...], tuple[LockedPypi, ...], tuple[str, ...]]:
    rattler = load_rattler()
    conda, pypi, sources = [], [], []
    for package in packages:
        if isinstance(package, rattler.CondaLockedBinaryPackage):
            conda.append(locked_conda(package.repo_data_record()))
        elif isinstance(package, rattler.CondaLockedSourcePackage):
            sources.append(str(package.name))
        else:
            pypi.append(
                LockedPypi(normalised(package.name), _version(package), package.location, _sha256(package), package)
            )
    return (
        tuple(sorted(conda, key=lambda item: (item.name, item.version))),
        tuple(sorted(pypi, key=lambda item: item.name)),
        tuple(sorted(sources)),
    )


def locked_conda(record: Any) -> LockedConda:
    """Return the package for a record of py-rattler."""
    return LockedConda(
        record.name.normalized,
        str(record.version),
        str(record.build),
        record.subdir,
        record.url,
        record.file_name,
        record.sha256.hex() if record.sha256 else "",
        record.md5.hex() if record.md5 else "",
        record,
    )


def _version(package: Any) -> str:
    """Return the version of a package, empty if the lock file leaves it open (a source with a dynamic version)."""
    try:
        version = str(package.version or "")
        return "" if version.startswith("<") else version
    except Exception:  # noqa: BLE001 - the library raises a class of its own
        return ""


def _sha256(package: Any) -> str:
    hashes = package.hashes
    if hashes is None or getattr(hashes, "_hashes", None) is None:
        return ""
    return hashes.sha256.hex() if hashes.sha256 else ""
