"""Packages that are not installed from wheels: editable ones are built into wheels, others are named.

An editable package is a link into a folder of the user, which a node does not see. Its wheel contains what its build
backend says, so that tests and other files of the folder stay where they are.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from importlib.metadata import PathDistribution
from pathlib import Path
from urllib.parse import unquote, urlparse

from fasthep_parsl.errors import SiteError
from fasthep_parsl.packing.installation import Installation
from fasthep_parsl.packing.manifest import normalised
from fasthep_parsl.packing.members import Member, walk
from fasthep_parsl.packing.sources import copy_source

_TIMEOUT = 1800
_OFFLINE = ("--retries", "1", "--timeout", "10", "--disable-pip-version-check", "--no-input")
_LOCAL = re.compile(r"^local/")
"""Debian's Python installs into a folder `local` of a prefix."""
_TELLING = re.compile(r"error:|[\w.]*(Error|Exception|Exit)\b", re.IGNORECASE)
_FROM_VERSION_CONTROL = "SETUPTOOLS_SCM_PRETEND_VERSION"


@dataclass(frozen=True, slots=True)
class SourcePackage:
    """A distribution that was not installed from a wheel.

    Attributes
    ----------
    name, version : str
        Its normalised name, and the installed version; that is empty if its source is not installed.
    source : Path or None
        Folder of an editable distribution; None for others, whose files are installed.
    files : tuple of str
        Installed files of an editable distribution, relative to the prefix.
    """

    name: str
    version: str
    source: Path | None
    files: tuple[str, ...] = ()


def source_packages(installation: Installation) -> list[SourcePackage]:
    """Return the distributions that were not installed from wheels, by their ``direct_url.json`` (PEP 610).

    Raises
    ------
    SiteError
        One is a link to a folder that does not exist, or an old one that says nothing about its source.
    """
    folders = [Path(folder) for folder in installation.search if folder.endswith(("site-packages", "dist-packages"))]
    return [package for folder in folders for package in _sources_in(folder, installation.prefix)]


def _sources_in(site_packages: Path, prefix: Path) -> list[SourcePackage]:
    old = next(site_packages.glob("*.egg-link"), None)
    if old is not None:
        raise SiteError(
            f"packing: `{old.stem}` is installed with `setup.py develop`, which does not say what belongs to it; "
            "run `pip install -e` in its folder"
        )
    found = []
    for place in sorted(site_packages.glob("*.dist-info")):
        try:
            origin = json.loads((place / "direct_url.json").read_bytes())
        except (OSError, ValueError):
            continue
        distribution = PathDistribution(place)
        name, version = normalised(distribution.metadata["Name"]), distribution.version
        if origin.get("dir_info", {}).get("editable"):
            source = Path(unquote(urlparse(origin["url"]).path), origin.get("subdirectory", ""))
            if not source.is_dir():
                raise SiteError(f"packing: `{name}` is an editable installation of `{source}`, which does not exist")
            files = (os.path.normpath(site_packages / str(file)) for file in distribution.files or ())
            found.append(SourcePackage(name, version, source, tuple(os.path.relpath(file, prefix) for file in files)))
        elif not str(origin.get("url", "")).endswith(".whl"):
            found.append(SourcePackage(name, version, None))
    return found


def build_wheel(package: SourcePackage, python: Path, folder: Path) -> Path:
    """Build the wheel of an editable package, and return it.

    If what the build needs is installed, it is built without network (``--no-build-isolation``). Else pip fetches it.

    Parameters
    ----------
    package : SourcePackage
        The package, with a source.
    python : Path
        Python of the installation that has it.
    folder : Path
        Where the wheel is written.

    Raises
    ------
    SiteError
        It cannot be built, or has another version than the installed one.
    """
    assert package.source is not None
    pip = find_pip(python)
    version = {_FROM_VERSION_CONTROL: package.version} if package.version else {}
    environment = {**_without_python(os.environ), **version}
    with tempfile.TemporaryDirectory(prefix="fasthep-parsl-") as work:
        copy = Path(work, package.source.name or "source")
        copy_source(package.source, copy)
        reason = ""
        for options in (("--no-build-isolation", "--check-build-dependencies"), ()):
            command = [
                *pip,
                "wheel",
                "--quiet",
                "--no-deps",
                *_OFFLINE,
                *options,
                "--wheel-dir",
                str(folder),
                str(copy),
            ]
            reason = _run(command, environment, work)
            wheel = next(folder.glob("*.whl"), None)
            if not reason and wheel is not None:
                _check_version(package, wheel)
                return wheel
    raise SiteError(
        f"packing: `{package.name}` is an editable installation of `{package.source}`, and its wheel cannot be built: "
        f"{reason}; install it without `-e`, or install what its build needs (`build-system.requires`)"
    )


def _check_version(package: SourcePackage, wheel: Path) -> None:
    version = wheel.name.split("-")[1]
    if package.version and version.replace("_", "-") != package.version.replace("_", "-"):
        raise SiteError(
            f"packing: `{package.name}` is installed with version {package.version}, and its source "
            f"`{package.source}` has version {version}; run `pip install -e {package.source}` again"
        )


def install_wheel(wheel: Path, python: Path, folder: Path) -> None:
    """Install a wheel into a prefix of its own, with its scripts.

    Raises
    ------
    SiteError
        It cannot be installed.
    """
    options = (
        "--no-deps",
        "--no-index",
        "--ignore-installed",
        "--no-warn-script-location",
        "--root-user-action=ignore",
    )
    command = [*find_pip(python), "install", "--quiet", *_OFFLINE, *options, "--prefix", str(folder), str(wheel)]
    reason = _run(command, _without_python(os.environ), str(folder.parent))
    if reason:
        raise SiteError(f"packing: the wheel `{wheel.name}` cannot be installed: {reason}")


def replace_editable(
    installation: Installation,
    members: Iterable[Member],
    packages: Iterable[SourcePackage],
    work: Path,
    report: Callable[[str, int, int], None],
) -> list[Member]:
    """Return the members with the files of wheels in place of editable packages.

    Parameters
    ----------
    installation : Installation
        The installation.
    members : iterable of Member
        Its members.
    packages : iterable of SourcePackage
        What `source_packages` returns.
    work : Path
        Folder for the wheels and their files; it must exist as long as the members are used.
    report : callable
        Called with what is done.

    Raises
    ------
    SiteError
        A wheel cannot be built, or a ``.pth`` file names a folder outside of the prefix.
    """
    found = {member.name: member for member in members}
    for number, package in enumerate(packages):
        if package.source is None:
            continue
        report(f"building a wheel of {package.name}", 0, 0)
        wheels, files = work / f"wheel-{number}", work / f"files-{number}"
        wheels.mkdir()
        files.mkdir()
        install_wheel(build_wheel(package, installation.python, wheels), installation.python, files)
        for name in package.files:
            found.pop(name, None)
        for member in walk(files):
            name = _LOCAL.sub("", member.name).replace("/dist-packages/", "/site-packages/")
            found[name] = replace(member, name=name)
    check_path_files(found.values(), installation.prefix)
    return [found[name] for name in sorted(found)]


def check_path_files(members: Iterable[Member], prefix: Path) -> None:
    """Check that no ``.pth`` file adds a folder outside of the prefix to the modules that Python finds.

    Raises
    ------
    SiteError
        One does.
    """
    for member in members:
        if not member.name.endswith("-packages/" + member.name.rpartition("/")[2]) or not member.name.endswith(".pth"):
            continue
        content = Path(member.source).read_bytes() if member.source else member.content
        for line in content.decode("utf-8", "surrogateescape").splitlines():
            place = Path(line.strip())
            if place.is_absolute() and place.exists() and not place.is_relative_to(prefix):
                raise SiteError(
                    f"packing: `{member.source}` makes Python find modules in `{place}`, which is not part of the "
                    "environment; install them as a package, or list them in `use.packages` of the workflow"
                )


def find_pip(python: Path) -> list[str]:
    """Return the command of a pip that acts on an installation: its own, the one that comes with Python, or this one's.

    Raises
    ------
    SiteError
        There is none.
    """
    own = [str(python), "-I", "-m", "pip"]
    if not _run([*own, "--version"], _without_python(os.environ), "/"):
        return own
    for folder in _bundled(python):
        for wheel in sorted(folder.glob("pip-*.whl")):
            return [str(python), "-I", f"{wheel}/pip"]
    if python != Path(sys.executable):
        return [*find_pip(Path(sys.executable)), "--python", str(python)]
    raise SiteError(f"packing: `{python}` has no pip to build editable packages with; install `pip` there")


def _bundled(python: Path) -> Iterable[Path]:
    code = "import os; print(os.path.dirname(os.__file__))"
    done = subprocess.run([str(python), "-I", "-c", code], capture_output=True, text=True, check=False)  # noqa: S603
    yield Path(done.stdout.strip(), "ensurepip", "_bundled")
    yield Path("/usr/share/python-wheels")


def _without_python(variables: Iterable[str]) -> dict[str, str]:
    hidden = ("PYTHON", "PIP_", "VIRTUAL_ENV")
    return {name: os.environ[name] for name in variables if not name.startswith(hidden) or name.startswith("PIP_INDEX")}


def _run(command: list[str], environment: dict[str, str], folder: str) -> str:
    """Run a command; return the last line that it says if it fails, else nothing."""
    try:
        done = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, check=False, env=environment, cwd=folder, timeout=_TIMEOUT
        )
    except subprocess.TimeoutExpired:
        return f"it took more than {_TIMEOUT} s"
    if done.returncode == 0:
        return ""
    lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    telling = [line for line in lines if _TELLING.match(line) and not line.endswith("subprocess-exited-with-error")]
    return (telling or lines or [f"exit code {done.returncode}"])[-1]
