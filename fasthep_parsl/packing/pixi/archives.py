"""Archives of installed pixi environments, and the key under which they are stored."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fasthep_parsl.errors import SiteError
from fasthep_parsl.packing.compression import Format
from fasthep_parsl.packing.installation import Installation, describe
from fasthep_parsl.packing.manifest import Manifest, this_platform
from fasthep_parsl.packing.pixi.downloads import PackingReport, unheard
from fasthep_parsl.packing.pixi.provision import (
    InstalledEnvironment,
    PixiTool,
    install_pack,
    install_package,
    open_environment,
)
from fasthep_parsl.packing.prefix import collect
from fasthep_parsl.packing.store import StoredArchive, provide
from fasthep_parsl.packing.wheels import check_path_files
from fasthep_parsl.packing.writer import ArchiveWriter
from fasthep_parsl.version import __version__

_WORK = ".work"
"""Ending of the folders in which environments are installed."""


def archive_project(
    manifest: Path,
    environment: str,
    target: Path,
    *,
    platform: str = "",
    tool: PixiTool = "auto",
    form: Format = "zst",
    report: PackingReport = unheard,
    cache: Path | None = None,
) -> StoredArchive:
    """Put an archive of an environment of a project at `target`: from the store, or its packages are installed and packed.

    Parameters
    ----------
    manifest, environment, platform, tool
        See `open_environment`.
    target : Path
        Where the archive is needed.
    form : {"zst", "gz"}
        Compression.
    report : callable
        Called with what is done.
    cache : Path, optional
        Folder of the cache; that of the user if absent.

    Raises
    ------
    ConfigError
        The project cannot be packed as it is.
    SiteError
        A package cannot be fetched, built, installed or packed.
    """
    report("reading the lock file", 0, 0)
    package = open_environment(manifest, environment, platform, tool)
    name = f"{package.project.name}:{environment}"

    key = package.key(form)

    def pack(path: Path) -> Manifest:
        with _work_folder(path, key) as work:
            return pack_installed(install_package(package, work, report), path, name=name, form=form, report=report)

    return provide(key, target, pack, report, cache)


def archive_pack(
    pack: Path,
    target: Path,
    *,
    platform: str = "",
    form: Format = "zst",
    report: PackingReport = unheard,
    cache: Path | None = None,
) -> StoredArchive:
    """Put an archive of a pack that pixi-pack has written at `target`; see `archive_project`."""
    try:
        with pack.open("rb") as file:
            checksum = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SiteError(f"environment `packed-pixi`: cannot read the pack `{pack}`: {error.strerror}") from None

    key = hashlib.sha256(f"{__version__} pack {checksum} {platform} {form}".encode()).hexdigest()

    def write(path: Path) -> Manifest:
        with _work_folder(path, key) as work:
            installed = install_pack(pack, work, platform, report)
            return pack_installed(installed, path, name=pack.stem, form=form, report=report)

    return provide(key, target, write, report, cache)


@contextmanager
def _work_folder(archive: Path, key: str) -> Iterator[Path]:
    """Yield a folder beside the store's for the prefix. What killed processes have left there is removed.

    The lock of the store on `key` is held.
    """
    store = archive.parent.parent
    for place in store.glob(f"*{_WORK}"):
        with suppress(OSError), store.joinpath(f"{place.stem}.lock").open("a+b") as lock:
            if place.stem != key:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(place)
    folder = store / f"{key}{_WORK}"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def pack_installed(
    installed: InstalledEnvironment, target: Path, *, name: str, form: Format = "zst", report: PackingReport = unheard
) -> Manifest:
    """Write the archive of an installed environment, and return what it contains.

    Raises
    ------
    SiteError
        Something cannot be packed.
    """
    installation = _installation(installed)
    members = collect(installation)
    check_path_files(members, installation.prefix)
    return ArchiveWriter(installation, members, installed.built, report).write(target, "packed-pixi", name, form)


def _installation(installed: InstalledEnvironment) -> Installation:
    """Return what the Python of a prefix says of itself; that of another platform cannot be asked."""
    locked, prefix = installed.locked, installed.prefix
    if locked.platform == this_platform():
        return describe(prefix)
    short = ".".join(locked.python.split(".")[:2])
    library = prefix / "lib" / f"python{short}"
    return Installation(
        prefix=prefix,
        base=prefix,
        program=prefix / "bin" / f"python{short}",
        version=locked.python,
        short=short,
        stdlib=library,
        include=prefix / "include" / f"python{short}",
        search=(str(library), str(library / "site-packages")),
        cache_tag=f"cpython-{short.replace('.', '')}",
        debian=False,
        platform=locked.platform,
    )
