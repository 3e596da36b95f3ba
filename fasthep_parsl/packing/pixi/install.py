"""Install the locked packages of an environment into a prefix, with py-rattler: the prefix is packed afterwards."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from fasthep_parsl.errors import SiteError
from fasthep_parsl.packing.manifest import normalised, this_platform
from fasthep_parsl.packing.pixi.downloads import PackingReport, check_local_archives, network_client, unheard
from fasthep_parsl.packing.pixi.library import causes, finished, load_rattler
from fasthep_parsl.packing.pixi.lock_file import LockedConda, LockedEnvironment, LockedPypi
from fasthep_parsl.packing.pixi.wheel_install import install_wheels, wrong_tags

_CONDA_META = "conda-meta"
_DEPENDS_ON_PREFIX = ("sha256", "sha256_in_prefix", "size_in_bytes")
_COMPILE_ALL = (
    "import compileall, sys; compileall.compile_dir(sys.argv[1], quiet=2, workers=0, maxlevels=99)"  # as many as CPUs
)


def install_conda(
    locked: LockedEnvironment, prefix: Path, *, cache: Path | None = None, report: PackingReport = unheard
) -> None:
    """Install the conda packages of an environment into a new prefix.

    Parameters
    ----------
    locked : LockedEnvironment
        The packages. Those that are not in the cache of pixi and py-rattler are downloaded.
    prefix : Path
        The folder; it does not exist yet.
    cache : Path, optional
        Folder of unpacked packages; None for that of pixi and py-rattler.
    report : callable
        Called as packages are installed.

    Raises
    ------
    SiteError
        A package cannot be fetched or installed, or has another checksum than the lock file.
    """
    if not locked.python:
        raise SiteError(
            f"environment `packed-pixi`: environment `{locked.name}` has no Python; add it with `pixi add python`"
        )
    check_local_archives(locked.conda)
    _install_records(locked, prefix, cache, report)


def install_python_packages(
    locked: LockedEnvironment, wheels: Mapping[LockedPypi, Path], prefix: Path, *, report: PackingReport = unheard
) -> None:
    """Install the wheels of an environment, compile its Python code, and check that every locked package is there.

    Parameters
    ----------
    locked : LockedEnvironment
        The environment. Its conda packages are installed.
    wheels : mapping
        Packages from indexes, repositories or folders → their wheels.
    prefix : Path
        The prefix.
    report : callable
        Called with what is done.

    Raises
    ------
    SiteError
        A wheel cannot be installed, or a package is missing.
    """
    for package, wheel in wheels.items():
        if reason := wrong_tags(wheel.name, locked.platform, locked.python):
            raise SiteError(f"environment `packed-pixi`: the wheel of `{package.name}` does not fit: {reason}")
    python = next(package for package in locked.conda if package.name == "python")
    site_packages = str(python.record.python_site_packages_path or "")
    if wheels:
        report("installing wheels", 0, 0)
        install_wheels((wheels[package] for package in locked.pypi), prefix, locked.python, site_packages=site_packages)
    report("compiling Python code", 0, 0)
    compile_code(locked, prefix)
    check_installed(locked, prefix)


def name_origins(prefix: Path, origins: Mapping[str, str]) -> None:
    """Write into the records of a prefix where its packages come from, in place of the files they were installed from.

    Sizes and checksums of its files go, too: some contain the prefix. The same packages then give the same prefix, whatever has fetched
    them, and wherever they were installed.

    Parameters
    ----------
    prefix : Path
        The prefix.
    origins : mapping
        Name of a conda package → its URL. That of others becomes the path in their channel.
    """
    for path in sorted((prefix / _CONDA_META).glob("*.json")):
        record = json.loads(path.read_bytes())
        record["url"] = origins.get(record["name"], f"{record['subdir']}/{record['fn']}")
        record["channel"] = record["url"].rpartition("/")[0].rpartition("/")[0]
        for entry in (record.get("paths_data") or {}).get("paths", ()):
            for key in _DEPENDS_ON_PREFIX:
                entry.pop(key, None)
        path.write_text(json.dumps(record, indent=2))


def package_cache(folder: Path | None = None) -> Any:
    """Return the cache of unpacked packages: a folder, or the one that pixi and py-rattler share.

    What is in it is compared with the checksums of its files before it is used.
    """
    rattler = load_rattler()
    if folder is None:
        named = os.environ.get("PIXI_CACHE_DIR") or os.environ.get("RATTLER_CACHE_DIR")
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(named or Path(home, "rattler", "cache"), "pkgs")
    layer = rattler.PackageCacheLayer(folder).with_validation_mode(rattler.ValidationMode.full())
    return rattler.PackageCache.from_layers([layer])


def compile_code(locked: LockedEnvironment, prefix: Path) -> None:
    """Compile the Python code of a prefix, so that nodes need not do it.

    Its own Python does it; for another platform the one that runs this, if it has the same version.
    """
    here = locked.platform == this_platform()
    same = locked.python.split(".")[:2] == [str(part) for part in sys.version_info[:2]]
    if not here and not same:
        return
    python = prefix / "bin" / "python" if here else Path(sys.executable)
    short = ".".join(locked.python.split(".")[:2])
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = [str(python), "-I", "-c", _COMPILE_ALL, str(prefix / "lib" / f"python{short}")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=variables)  # noqa: S603 - ours
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise SiteError(f"environment `packed-pixi`: the Python of the lock file does not run here: {reason}")


def check_installed(locked: LockedEnvironment, prefix: Path) -> None:
    """Check that a prefix has every locked package, with the version and checksum of the lock file, and no other.

    Raises
    ------
    SiteError
        One is missing or differs.
    """
    records = [json.loads(path.read_bytes()) for path in sorted((prefix / _CONDA_META).glob("*.json"))]
    found = {(record["name"], record["version"], record["build"], record.get("sha256") or "") for record in records}
    wanted = {(package.name, package.version, package.build, package.sha256) for package in locked.conda}
    differing = sorted(" ".join(item[:3]) for item in found ^ wanted)
    if not locked.sources and differing:
        raise SiteError(
            f"environment `packed-pixi`: the installed prefix differs from the lock file in `{differing[0]}`"
        )
    folders = [str(path) for path in prefix.glob("lib/python3*/site-packages")]
    versions: dict[str, str] = {}
    for item in distributions(path=folders):
        name = normalised(item.metadata["Name"])
        if name in versions:
            raise SiteError(
                f"environment `packed-pixi`: `{name}` is locked twice, as {versions[name]} and {item.version}, from conda "
                "and from an index; remove one from the manifest"
            )
        versions[name] = item.version
    for package in locked.pypi:
        installed = versions.get(package.name, "missing")
        if installed == "missing" or (package.version and package.is_wheel and installed != package.version):
            raise SiteError(
                f"environment `packed-pixi`: the installed prefix differs from the lock file in `{package.name}`: "
                f"locked is {package.version or 'any version'}, installed is {installed}"
            )


class _Progress:
    """Reports how many packages are installed. py-rattler calls it."""

    def __init__(self, total: int, report: PackingReport) -> None:
        self._done, self._total, self._report = 0, total, report

    def on_link_complete(self, index: int) -> None:  # noqa: ARG002 - the protocol of py-rattler
        """Count a package."""
        self._done += 1
        self._report("installing packages", min(self._done, self._total), self._total)


def _install_records(locked: LockedEnvironment, prefix: Path, cache: Path | None, report: PackingReport) -> None:
    rattler = load_rattler()
    from rattler.install import InstallerReporter

    reporter = type("Reporter", (_Progress, InstallerReporter), {})  # the rest of the protocol does nothing
    packages = {package.name: package for package in locked.conda}
    try:
        finished(
            rattler.install(
                [package.record for package in locked.conda],
                prefix,
                platform=rattler.Subdir(locked.platform),
                package_cache=package_cache(cache),
                client=network_client(),
                installed_packages=[],
                execute_link_scripts=False,
                reporter=reporter(len(locked.conda), report),
            )
        )
    except SiteError:
        raise
    except Exception as error:  # noqa: BLE001 - the library raises several classes of its own
        reason = causes(error)
        source = next((item.url for item in packages.values() if item.file_name in reason), "")
        what = f" (package `{_name_of(packages, source)}`, `{source}`)" if source else ""
        raise SiteError(f"environment `packed-pixi`: cannot install the locked packages: {reason}{what}") from None


def _name_of(packages: Mapping[str, LockedConda], url: str) -> str:
    return next(f"{item.name} {item.version}" for item in packages.values() if item.url == url)
