"""Build what is no wheel: packages of a lock file from folders, repositories and source archives."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import tomllib
import zipfile
from pathlib import Path
from urllib.parse import parse_qs, urlsplit, urlunsplit

from fasthep_parsl.errors import SiteError
from fasthep_parsl.packing.pixi.lock_file import LockedPypi
from fasthep_parsl.packing.pixi.project import PYPROJECT
from fasthep_parsl.packing.wheels import SourcePackage, build_wheel

_TIMEOUT = 1800


def build_package(package: LockedPypi, source: Path, python: Path, folder: Path) -> Path:
    """Build the wheel of a package.

    Parameters
    ----------
    package : LockedPypi
        The package.
    source : Path
        Its folder, or its source archive (``.tar.gz``, ``.zip``).
    python : Path
        The Python for which it is built.
    folder : Path
        An empty folder, for the wheel and for what the build needs.

    Raises
    ------
    SiteError
        It cannot be built.
    """
    if not source.is_dir():
        source = _unpacked(package, source, folder / "source")
    wheels = folder / "wheel"
    wheels.mkdir(parents=True)
    return build_wheel(SourcePackage(package.name, _version(package, source), source), python, wheels)


def check_out(package: LockedPypi, folder: Path) -> Path:
    """Get the locked commit of a package from its git repository, and return the folder of the package.

    Raises
    ------
    SiteError
        It cannot be fetched.
    """
    url, commit, below = git_source(package.location)
    if shutil.which("git") is None:
        raise SiteError(
            f"environment `packed-pixi`: package `{package.name}` comes from `{url}`: `git` is not installed"
        )
    commands = (
        ["git", "clone", "--quiet", "--no-checkout", url, str(folder)],
        ["git", "-C", str(folder), "checkout", "--quiet", commit or "HEAD"],
        ["git", "-C", str(folder), "submodule", "update", "--quiet", "--init", "--recursive"],
    )
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT)  # noqa: S603 - ours
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise SiteError(f"environment `packed-pixi`: cannot fetch package `{package.name}` from `{url}`: {reason}")
    return folder / below


def git_source(location: str) -> tuple[str, str, str]:
    """Return URL, commit and folder of a package from a git repository, as lock files write them.

    Both ``git+https://host/name.git@commit`` and ``git+https://host/name.git?subdirectory=a&rev=b#commit`` occur.
    """
    parts = urlsplit(location.removeprefix("direct+").removeprefix("git+"))
    query = parse_qs(parts.query)
    path, mark, commit = parts.path.rpartition("@")
    if not mark:
        path, commit = parts.path, ""
    commit = parts.fragment or commit or next(iter(query.get("rev", query.get("tag", query.get("branch", [""])))))
    url = urlunsplit((parts.scheme, parts.netloc, path, "", ""))
    return url, commit.rpartition("=")[2], next(iter(query.get("subdirectory", [""])))


def _unpacked(package: LockedPypi, archive: Path, folder: Path) -> Path:
    folder.mkdir(parents=True)
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as file:
                file.extractall(folder)  # noqa: S202 - `zipfile` writes below its folder only
        else:
            with tarfile.open(archive) as tar:
                tar.extractall(folder, filter="data")
    except (OSError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise SiteError(
            f"environment `packed-pixi`: the source of `{package.name}`, `{archive.name}`: {error}"
        ) from None
    inside = list(folder.iterdir())
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else folder


def _version(package: LockedPypi, source: Path) -> str:
    """Return the version that the build must give; empty if the source says it itself."""
    try:
        table = tomllib.loads((source / PYPROJECT).read_text(encoding="utf-8")).get("project", {})
    except (OSError, ValueError):
        table = {}
    return "" if "version" in table else package.version
