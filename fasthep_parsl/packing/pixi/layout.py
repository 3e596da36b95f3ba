"""Packs in the layout of pixi-pack: written so that ``pixi-unpack`` can read them, and read as pixi-pack writes them.

The layout is described in the README of github.com/Quantco/pixi-pack, and in its ``src/pack.rs``, ``src/unpack.rs`` and
``src/header.sh`` (version 0.7.x, July 2026)::

    pixi-pack.json              {"version": "1", "pixi-pack-version": …, "platform": "linux-64"}
    environment.yml             for conda and micromamba, not read by pixi-unpack
    channel/<subdir>/*.conda    conda packages, and .tar.bz2
    channel/<subdir>/repodata.json
    pypi/*.whl

A self-extracting pack is a shell script: a header up to the line ``@@END_HEADER@@``, the archive in base64 up to the line
``@@END_ARCHIVE@@``, and the program pixi-unpack in base64.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from fasthep_parsl.atomic import atomic
from fasthep_parsl.errors import SiteError
from fasthep_parsl.packing.manifest import normalised
from fasthep_parsl.packing.pixi.downloads import PackingReport, unheard
from fasthep_parsl.packing.pixi.library import causes, load_rattler
from fasthep_parsl.packing.pixi.lock_file import LockedConda, LockedEnvironment, LockedPypi, locked_conda

VERSION = "1"
"""Version of the layout."""
METADATA, CHANNEL, PYPI, ENVIRONMENT = "pixi-pack.json", "channel", "pypi", "environment.yml"
_HEADER_END, _ARCHIVE_END = b"@@END_HEADER@@", b"@@END_ARCHIVE@@"
_SCRIPT = b"#!"
_TIME = 1_577_836_800  # 1 January 2020: the same packages give the same pack
_CHUNK = 4 << 20  # a multiple of 4: base64 is decoded in pieces


def write_pack(
    locked: LockedEnvironment,
    archives: Mapping[LockedConda, Path],
    wheels: Mapping[LockedPypi, Path],
    target: Path,
    report: PackingReport = unheard,
) -> None:
    """Write a pack that ``pixi-unpack`` can read.

    Parameters
    ----------
    locked : LockedEnvironment
        The environment.
    archives, wheels : mapping
        Its packages → their files, from `fetch_conda` and `fetch_wheels`.
    target : Path
        The pack, such as ``environment.tar``; it is complete or absent.
    report : callable
        Called as packages are written.
    """
    members: dict[str, bytes | Path] = {
        METADATA: json.dumps({"version": VERSION, "platform": locked.platform}, indent=2).encode(),
        ENVIRONMENT: _environment_file(locked).encode(),
    }
    for subdir in sorted({"noarch", *(package.subdir for package in archives)}):
        members[f"{CHANNEL}/{subdir}/repodata.json"] = json.dumps(_repodata(subdir, archives), indent=2).encode()
    members |= {f"{CHANNEL}/{package.subdir}/{package.file_name}": path for package, path in archives.items()}
    members |= {f"{PYPI}/{path.name}": path for path in wheels.values()}
    with atomic(target) as draft, tarfile.open(draft, "w", format=tarfile.GNU_FORMAT) as tar:
        for done, name in enumerate(sorted(members)):
            _add(tar, name, members[name])
            report("writing the pack", done + 1, len(members))


def read_pack(pack: Path, folder: Path, name: str = "default") -> tuple[LockedEnvironment, dict[LockedPypi, Path]]:
    """Unpack a pack of pixi-pack and return its packages.

    Parameters
    ----------
    pack : Path
        ``environment.tar``, a self-extracting ``environment.sh``, or a folder with the same content.
    folder : Path
        An empty folder for its files. They must stay until the environment is installed.
    name : str
        Name of the environment, for people.

    Returns
    -------
    LockedEnvironment
        Its conda packages, with the checksums of the pack.
    dict
        Its wheels → their files.

    Raises
    ------
    SiteError
        It is no pack, is damaged, or has an unknown version.
    """
    if not pack.is_dir():
        _unpack(pack, folder)
    root = pack if pack.is_dir() else folder
    platform = _platform_of(pack, root)
    conda = [record for subdir in sorted((root / CHANNEL).glob("*/")) for record in _records(pack, subdir)]
    files = sorted((root / PYPI).glob("*.whl"))
    wheels = {_wheel(path): path for path in files}
    locked = LockedEnvironment(
        name,
        platform,
        platform,
        root,
        (),
        tuple(sorted(conda, key=lambda item: (item.name, item.version))),
        tuple(sorted(wheels, key=lambda item: item.name)),
    )
    return locked, wheels


def _environment_file(locked: LockedEnvironment) -> str:
    lines = ["channels:", f"  - ./{CHANNEL}", "  - nodefaults", "dependencies:"]
    lines += [f"  - {package.name}={package.version}={package.build}" for package in locked.conda]
    if locked.pypi:
        lines += ["  - pip:", "    - --no-index", f"    - --find-links ./{PYPI}"]
        lines += [
            f"    - {package.name}=={package.version}" if package.version else f"    - {package.name}"
            for package in locked.pypi
        ]
    return "\n".join(lines) + "\n"


def _repodata(subdir: str, archives: Iterable[LockedConda]) -> dict[str, Any]:
    records: dict[str, dict[str, Any]] = {"packages": {}, "packages.conda": {}}
    for package in sorted(archives, key=lambda item: item.file_name):
        if package.subdir == subdir:
            key = "packages.conda" if package.file_name.endswith(".conda") else "packages"
            records[key][package.file_name] = json.loads(package.record.to_json())
    return {"info": {"subdir": subdir}, **records, "removed": [], "repodata_version": 2}


def _add(tar: tarfile.TarFile, name: str, content: bytes | Path) -> None:
    member = tarfile.TarInfo(name)
    member.mtime, member.mode = _TIME, 0o644
    if isinstance(content, bytes):
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
        return
    with content.open("rb") as file:
        member.size = content.stat().st_size
        tar.addfile(member, file)


def _unpack(pack: Path, folder: Path) -> None:
    try:
        with pack.open("rb") as file:
            script = file.read(len(_SCRIPT)) == _SCRIPT
            file.seek(0)
            if script:
                plain = folder / ".archive.tar"
                with plain.open("wb") as target:
                    for piece in _decoded(file):
                        target.write(piece)
                with tarfile.open(plain) as tar:
                    tar.extractall(folder, filter="data")
                plain.unlink()
                return
            with tarfile.open(fileobj=file) as tar:
                tar.extractall(folder, filter="data")
    except (OSError, tarfile.TarError, binascii.Error) as error:
        reason = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
        raise _damaged(pack, reason) from None


def _decoded(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the archive in a self-extracting pack."""
    for line in file:
        if line.startswith(_HEADER_END):
            break
    else:
        raise tarfile.TarError(f"it is a script without the line {_HEADER_END.decode()}")
    rest = b""
    while chunk := file.read(_CHUNK):
        rest += chunk
        text, mark, _ = rest.partition(_ARCHIVE_END)
        if not mark:  # the mark may be cut
            text, rest = rest[: -len(_ARCHIVE_END)], rest[-len(_ARCHIVE_END) :]
        whole = b"".join(text.split())
        usable = len(whole) if mark else len(whole) // 4 * 4
        yield base64.b64decode(whole[:usable], validate=True)
        if mark:
            return
        rest = whole[usable:] + rest
    raise tarfile.TarError(f"it ends before the line {_ARCHIVE_END.decode()}")


def _platform_of(pack: Path, root: Path) -> str:
    try:
        metadata = json.loads((root / METADATA).read_bytes())
        version, platform = metadata["version"], metadata["platform"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(pack, f"`{METADATA}`: {error}") from None
    if version != VERSION:
        raise SiteError(
            f"environment `packed-pixi`: `{pack}` is a pack of version {version}; version {VERSION} can be read"
        )
    return str(platform)


def _records(pack: Path, subdir: Path) -> list[LockedConda]:
    rattler = load_rattler()
    try:
        data = rattler.RepoData.from_path(subdir / "repodata.json")
        records = data.into_repo_data(rattler.Channel(subdir.parent.resolve().as_uri()))
    except Exception as error:  # noqa: BLE001 - the library raises several classes of its own
        raise _damaged(pack, f"`{CHANNEL}/{subdir.name}/repodata.json`: {causes(error)}") from None
    return [locked_conda(record) for record in records]


def _wheel(path: Path) -> LockedPypi:
    name, version, *_ = path.name.split("-")
    return LockedPypi(normalised(name), version, str(path), "", None)


def _damaged(pack: Path, reason: str) -> SiteError:
    return SiteError(f"environment `packed-pixi`: `{pack}` cannot be read as a pack of pixi-pack: {reason}")
