"""Fetch the packages of a lock file: archives of conda and wheels, each compared with its checksum."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from fasthep_parsl.errors import SiteError
from fasthep_parsl.packing.pixi.library import causes, finished, load_rattler
from fasthep_parsl.packing.pixi.lock_file import LockedConda, LockedEnvironment, LockedPypi

PackingReport = Callable[[str, int, int], None]
"""Called with a text, and how many of how many are done."""
_AT_ONCE = 8
_RETRIES = 3


def unheard(text: str, done: int, total: int) -> None:
    """Report nothing."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A file to fetch: name for people, URL or path, checksum with its algorithm, and where it goes."""

    name: str
    source: str
    path: Path | None
    algorithm: str
    checksum: str
    target: Path


def network_client() -> Any:
    """Return the client for downloads: with the user's configuration of pixi (mirrors, proxies) and credentials."""
    rattler = load_rattler()
    try:
        config = rattler.Config.load_from_default_locations("pixi")
        return rattler.networking.Client.from_config(config, max_retries=_RETRIES)
    except Exception as error:  # noqa: BLE001 - the library raises several classes of its own
        raise SiteError(
            f"environment `packed-pixi`: the configuration of pixi cannot be used: {causes(error)}"
        ) from None


def fetch_conda(
    packages: Sequence[LockedConda], folder: Path, report: PackingReport = unheard
) -> dict[LockedConda, Path]:
    """Fetch the archives of conda packages into a folder, or find them there.

    Parameters
    ----------
    packages : sequence of LockedConda
        The packages.
    folder : Path
        Folder for downloads. A file that is there already is compared with its checksum, too.
    report : callable
        Called as packages arrive.

    Returns
    -------
    dict
        Package → its archive. A package from a folder of this machine stays there.

    Raises
    ------
    SiteError
        A package cannot be fetched, or has another checksum than the lock file.
    """
    wanted = [
        _Wanted(
            f"{package.name} {package.version}",
            package.url,
            local_path(package.url),
            "sha256" if package.sha256 else "md5",
            package.sha256 or package.md5,
            folder / package.subdir / package.file_name,
        )
        for package in packages
    ]
    return dict(zip(packages, finished(_fetch_all(wanted, report)), strict=True))


def fetch_wheels(
    locked: LockedEnvironment, wheels: Sequence[LockedPypi], folder: Path, report: PackingReport = unheard
) -> dict[LockedPypi, Path]:
    """Fetch wheels as `fetch_conda` does conda packages."""
    wanted = [
        _Wanted(
            " ".join(filter(None, (wheel.name, wheel.version))),
            wheel.url,
            wheel.path(locked.folder),
            "sha256",
            wheel.sha256,
            folder / "pypi" / wheel.file_name,
        )
        for wheel in wheels
    ]
    return dict(zip(wheels, finished(_fetch_all(wanted, report)), strict=True))


def check_local_archives(packages: Iterable[LockedConda]) -> None:
    """Check the packages in folders of this machine: py-rattler compares checksums of downloads only.

    Raises
    ------
    SiteError
        One is missing, or has another checksum than the lock file.
    """
    for package in packages:
        path = local_path(package.url)
        if path is not None:
            algorithm = "sha256" if package.sha256 else "md5"
            name = f"{package.name} {package.version}"
            _verify(path, _Wanted(name, package.url, path, algorithm, package.sha256 or package.md5, path))


def local_path(url: str) -> Path | None:
    """Return the path that a URL names on this machine; None if it names another one."""
    parts = urlsplit(url)
    return Path(unquote(parts.path)) if parts.scheme == "file" else Path(url) if not parts.scheme else None


async def _fetch_all(wanted: Sequence[_Wanted], report: PackingReport) -> list[Path]:
    client = network_client() if any(item.path is None for item in wanted) else None
    limit = asyncio.Semaphore(_AT_ONCE)
    done = 0

    async def one(item: _Wanted) -> Path:
        nonlocal done
        async with limit:
            found = await _fetch(item, client)
        done += 1
        report("fetching packages", done, len(wanted))
        return found

    tasks = [asyncio.ensure_future(one(item)) for item in wanted]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()


async def _fetch(item: _Wanted, client: Any) -> Path:
    if item.path is not None:
        await asyncio.to_thread(_verify, item.path, item)
        return item.path
    if item.target.is_file() and item.checksum and _checksum(item.target, item.algorithm) == item.checksum:
        return item.target
    item.target.parent.mkdir(parents=True, exist_ok=True)
    draft = item.target.with_name(f".{secrets.token_hex(6)}")
    from rattler.package_streaming import download_to_path

    try:
        await download_to_path(client, item.source, draft)
        await asyncio.to_thread(_verify, draft, item)
        draft.replace(item.target)
    except SiteError:
        raise
    except OSError as error:
        raise _failed(item, error.strerror or str(error)) from None
    except Exception as error:  # noqa: BLE001 - the library raises several classes of its own
        raise _failed(item, causes(error)) from None
    finally:
        draft.unlink(missing_ok=True)
    return item.target


def _failed(item: _Wanted, reason: str) -> SiteError:
    return SiteError(f"environment `packed-pixi`: cannot fetch package `{item.name}` from `{item.source}`: {reason}")


def _verify(path: Path, item: _Wanted) -> None:
    try:
        found = _checksum(path, item.algorithm) if item.checksum else ""
        os.stat(path)  # noqa: PTH116 - raises if there is none
    except OSError as error:
        raise _failed(item, error.strerror or str(error)) from None
    if found != item.checksum:
        raise SiteError(
            f"environment `packed-pixi`: package `{item.name}` from `{item.source}` is not the locked one: its {item.algorithm} "
            f"is {found}, locked is {item.checksum}; if the package was replaced on purpose, run `pixi update {item.name.split()[0]}`"
        )


def _checksum(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
