"""Conda packages written without conda: archives of given files, with the metadata that installers read.

The format is that of conda's CEP 14 and of the documentation of conda-build (`info/index.json`, `info/paths.json`).
"""

from __future__ import annotations

import bz2
import hashlib
import io
import json
import stat
import tarfile
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import cramjam

PLACEHOLDER = "/opt/build/" + ("placehold_" * 25)[: 255 - len("/opt/build/")]
"""The prefix in the files of a package, of the length that conda-build uses."""
_TIME = 1_700_000_000


@dataclass(frozen=True)
class PackageFile:
    """A file of a package: its content, its mode, or the target of a link."""

    content: bytes = b""
    mode: int = 0o644
    link: str = ""
    mtime: int = _TIME

    @classmethod
    def of(cls, path: Path) -> PackageFile:
        """Return the file at `path`."""
        if path.is_symlink():
            return cls(link=str(path.readlink()))
        info = path.stat()
        return cls(path.read_bytes(), 0o755 if info.st_mode & stat.S_IXUSR else 0o644, mtime=int(info.st_mtime))

    @property
    def prefix(self) -> Mapping[str, str]:
        """What `paths.json` says about the placeholder in the file."""
        if PLACEHOLDER.encode() not in self.content:
            return {}
        return {"prefix_placeholder": PLACEHOLDER, "file_mode": "binary" if b"\0" in self.content else "text"}


@dataclass(frozen=True)
class CondaPackage:
    """A package to write."""

    name: str
    version: str = "1.0"
    build: str = "0"
    subdir: str = "noarch"
    noarch: str = ""
    depends: tuple[str, ...] = ()
    entry_points: tuple[str, ...] = ()
    files: Mapping[str, PackageFile] = field(default_factory=dict)
    purls: tuple[str, ...] = ()

    @property
    def stem(self) -> str:
        """The name of the archive without its ending."""
        return f"{self.name}-{self.version}-{self.build}"


def write_package(package: CondaPackage, channel: Path, ending: str = ".conda") -> Path:
    """Write `package` into the folder `channel` and return the path of the archive (`.conda` or `.tar.bz2`)."""
    archive = channel / package.subdir / f"{package.stem}{ending}"
    archive.parent.mkdir(parents=True, exist_ok=True)
    info = {f"info/{name}": PackageFile(content) for name, content in _info(package).items()}
    draft = archive.with_name(f".{archive.name}.part")
    if ending == ".tar.bz2":
        draft.write_bytes(bz2.compress(_tar({**info, **package.files}), 1))
    else:
        with zipfile.ZipFile(draft, "w", zipfile.ZIP_STORED) as file:
            file.writestr("metadata.json", json.dumps({"conda_pkg_format_version": 2}))
            file.writestr(f"pkg-{package.stem}.tar.zst", bytes(cramjam.zstd.compress(_tar(package.files), level=1)))
            file.writestr(f"info-{package.stem}.tar.zst", bytes(cramjam.zstd.compress(_tar(info), level=1)))
    draft.replace(archive)
    return archive


def write_repodata(channel: Path, subdirs: Iterable[str] = ("noarch", "linux-64")) -> None:
    """Write the `repodata.json` of all packages in `channel`."""
    for subdir in subdirs:
        folder = channel / subdir
        folder.mkdir(parents=True, exist_ok=True)
        found: dict[str, dict[str, object]] = {"packages": {}, "packages.conda": {}}
        for archive in sorted(folder.iterdir()):
            if archive.name.endswith((".conda", ".tar.bz2")):
                key = "packages.conda" if archive.suffix == ".conda" else "packages"
                found[key][archive.name] = _record(archive)
        repodata = {"info": {"subdir": subdir}, **found, "removed": [], "repodata_version": 1}
        (folder / "repodata.json").write_text(json.dumps(repodata, indent=1))


def _record(archive: Path) -> dict[str, object]:
    content = archive.read_bytes()
    if archive.suffix == ".conda":
        with zipfile.ZipFile(archive) as file:
            name = next(n for n in file.namelist() if n.startswith("info-"))
            tar = bytes(cramjam.zstd.decompress(file.read(name)))
    else:
        tar = bz2.decompress(content)
    with tarfile.open(fileobj=io.BytesIO(tar)) as members:
        index = json.load(members.extractfile("info/index.json"))
    return {
        **index,
        "md5": hashlib.md5(content).hexdigest(),
        "sha256": hashlib.sha256(content).hexdigest(),
        "size": len(content),
    }


def _info(package: CondaPackage) -> dict[str, bytes]:
    index = {
        "name": package.name,
        "version": package.version,
        "build": package.build,
        "build_number": 0,
        "subdir": package.subdir,
        "depends": list(package.depends),
        "timestamp": _TIME * 1000,
        "arch": None if package.subdir == "noarch" else "x86_64",
        "platform": None if package.subdir == "noarch" else "linux",
    }
    if package.purls:
        index["purls"] = list(package.purls)
    content = {"files": "".join(f"{name}\n" for name in sorted(package.files)).encode()}
    if package.noarch:
        index["noarch"] = package.noarch
    if package.noarch == "python":
        link = {"noarch": {"type": "python", "entry_points": list(package.entry_points)}, "package_metadata_version": 1}
        content["link.json"] = json.dumps(link).encode()
    paths = [
        {
            "_path": name,
            "path_type": "softlink" if file.link else "hardlink",
            "sha256": hashlib.sha256(file.content).hexdigest(),
            "size_in_bytes": len(file.content),
            **file.prefix,
        }
        for name, file in sorted(package.files.items())
    ]
    content["paths.json"] = json.dumps({"paths": paths, "paths_version": 1}).encode()
    content["index.json"] = json.dumps(index).encode()
    return content


def _tar(files: Mapping[str, PackageFile]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, file in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.mtime = file.mtime
            member.mode = file.mode
            if file.link:
                member.type = tarfile.SYMTYPE
                member.linkname = file.link
                tar.addfile(member)
            else:
                member.size = len(file.content)
                tar.addfile(member, io.BytesIO(file.content))
    return buffer.getvalue()
