"""Archives of environments: pack an installation into one file that works in any folder, read and verify it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tarfile
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import ValidationError

from fasthep_parsl.atomic import atomic
from fasthep_parsl.errors import SiteError
from fasthep_parsl.packing.compression import BlockWriter, Format, header, open_stream, padding
from fasthep_parsl.packing.contents import Content, NoRoomError, Prefixes, compiled_content, packed_content
from fasthep_parsl.packing.installation import Installation, describe
from fasthep_parsl.packing.libraries import Linking, link
from fasthep_parsl.packing.manifest import MANIFEST, RELOCATE, RELOCATIONS, Manifest, is_derived, this_platform
from fasthep_parsl.packing.members import Member, identity_of
from fasthep_parsl.packing.prefix import collect

Report = Callable[[str, int, int], None]
"""Called with a text, and how many of how many bytes are done."""
Kind = Literal["packed-prefix", "packed-pixi"]
_END = bytes(2 * tarfile.BLOCKSIZE)
_REPORT_EVERY = 16 << 20


def _silent(text: str, done: int, total: int) -> None:
    """Report nothing."""


def pack_prefix(
    prefix: Path,
    target: Path,
    *,
    kind: Kind = "packed-prefix",
    name: str = "",
    form: Format = "zst",
    report: Report = _silent,
) -> Manifest:
    """Pack an installation into an archive.

    Parameters
    ----------
    prefix : Path
        Folder of a venv, of an environment of conda or pixi, or of another Python.
    target : Path
        The archive; it is complete or absent.
    kind : {"packed-prefix", "packed-pixi"}
        Kind of environment, for the manifest.
    name : str
        Name of the environment, for people; the name of the folder if empty.
    form : {"zst", "gz"}
        Compression.
    report : callable
        Called with a text, and how many of how many bytes are packed.

    Returns
    -------
    Manifest
        What the archive contains.

    Raises
    ------
    SiteError
        Something cannot be packed, or changed while it was packed.
    """
    return pack_installation(describe(prefix), target, kind=kind, name=name or prefix.name, form=form, report=report)


def pack_installation(
    installation: Installation,
    target: Path,
    *,
    kind: Kind = "packed-prefix",
    name: str = "",
    form: Format = "zst",
    report: Report = _silent,
) -> Manifest:
    """Pack an installation whose folders are known; see `pack_prefix`."""
    return _Packing(installation, collect(installation), report).write(target, kind, name, form)


@dataclass
class _Found:
    """What is known once all members are written."""

    digest: hashlib._Hash = field(default_factory=hashlib.sha256)
    relocations: dict[str, dict[str, list[str]]] = field(default_factory=lambda: {"text": {}, "binary": {}})
    notes: list[str] = field(default_factory=list)
    unpacked: int = 0
    files: int = 0
    packages: dict[str, str] = field(default_factory=dict)


class _Packing:
    def __init__(self, installation: Installation, members: list[Member], report: Report) -> None:
        self._installation = installation
        self._prefixes = Prefixes(_replaced(installation))
        self._linking: Linking = link(members, self._prefixes.paths)
        self._members = {member.name: member for member in (*members, *self._linking.added)}
        self._declared = _declared(installation)
        self._report = report

    def write(self, target: Path, kind: Kind, name: str, form: Format) -> Manifest:
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic(target) as draft:
            body = draft.with_name(f"{draft.name}.body")
            try:
                with body.open("wb") as file, BlockWriter(file, form) as writer:
                    found = self._write_body(writer)
                    writer.write(_END)
                    writer.finish()
                manifest = self._manifest(found, kind, name)
                with draft.open("wb") as file:
                    with BlockWriter(file, form) as writer:
                        for member, data in self._head(manifest, found):
                            writer.write(_tar_member(member, data, 0))
                        writer.finish()
                    with body.open("rb") as source:
                        shutil.copyfileobj(source, file, 16 << 20)
            finally:
                body.unlink(missing_ok=True)
        return manifest

    def _write_body(self, writer: BlockWriter) -> _Found:
        found = _Found()
        total = sum(member.size for member in self._members.values())
        done, reported = 0, 0
        for member, content, digest in self._contents():
            done += member.size
            if content is None:
                continue
            _account(found, member, content, digest)
            writer.write(_tar_member(member, content.data, member.identity[1] // 1_000_000_000))
            if done - reported > _REPORT_EVERY:
                self._report("packing", done, total)
                reported = done
        self._report("packing", total, total)
        return found

    def _contents(self) -> Iterator[tuple[Member, Content | None, str]]:
        """Yield the members with their contents in order. Some are read ahead."""
        ahead = 2 * (os.cpu_count() or 1)
        running: deque[tuple[Member, Future[tuple[Content | None, str]]]] = deque()
        pool = ThreadPoolExecutor(os.cpu_count() or 1)
        try:
            for name in sorted(self._members):
                member = self._members[name]
                running.append((member, pool.submit(self._content, member)))
                if len(running) > ahead:
                    first, future = running.popleft()
                    yield first, *future.result()
            for first, future in running:
                yield first, *future.result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _content(self, member: Member) -> tuple[Content | None, str]:
        if member.kind != "file":
            return Content(b""), ""
        data = _read(member)
        if is_derived(member.name):
            compiled = self._compiled(member, data)
            return (None, "") if compiled is None else (Content(compiled), "")
        try:
            content = packed_content(
                member.name,
                data,
                self._prefixes,
                search=self._linking.search.get(member.name),
                declared=self._declared,
            )
        except NoRoomError:
            raise SiteError(
                f"packing: `{member.source}` has no room for the path of its libraries; install `patchelf`, and run "
                f"`patchelf --set-rpath {'_' * 40} {member.source}`"
            ) from None
        return content, hashlib.sha256(content.data).hexdigest()

    def _compiled(self, member: Member, data: bytes) -> bytes | None:
        """Return compiled code that is valid at any place; None if its source is not packed, or is newer."""
        stem, tag, *_ = PurePosixPath(member.name).name.split(".")
        source = self._members.get(f"{PurePosixPath(member.name).parent.parent}/{stem}.py")
        if source is None or tag != self._installation.cache_tag or source.kind != "file":
            return None
        return compiled_content(data, _read(source), source.identity[1] // 1_000_000_000, self._prefixes)

    def _manifest(self, found: _Found, kind: Kind, name: str) -> Manifest:
        return Manifest(
            kind=kind,
            name=name,
            platform=this_platform(),
            python=self._installation.version,
            packages=dict(sorted(found.packages.items())),
            hash=found.digest.hexdigest(),
            unpacked=found.unpacked,
            files=found.files,
            glibc=self._linking.glibc,
        )

    def _head(self, manifest: Manifest, found: _Found) -> Iterator[tuple[Member, bytes]]:
        relocations = {
            **found.relocations,
            "modules": self._linking.modules,
            "libraries": [member.name for member in self._linking.added],
        }
        program = files("fasthep_parsl.packing").joinpath("relocate.py").read_bytes()
        yield Member(MANIFEST), manifest.model_dump_json(indent=2).encode()
        yield Member(RELOCATE), program
        yield Member(RELOCATIONS), json.dumps(relocations, indent=1).encode()


def _replaced(installation: Installation) -> list[str]:
    """Return the folders that the archive replaces, as its files may write them."""
    found = [installation.prefix, installation.base]
    every = [path for folder in found for path in (str(folder), os.path.realpath(folder))]
    return [path for path in every if path not in {"/", "/usr", "/usr/local"}] or [str(installation.prefix)]


def _declared(installation: Installation) -> dict[str, str]:
    """Return the binary files that conda's packages declare as relocatable → their placeholder."""
    found = {}
    for record in sorted((installation.prefix / "conda-meta").glob("*.json")):
        for entry in (json.loads(record.read_bytes()).get("paths_data") or {}).get("paths", ()):
            if entry.get("file_mode") == "binary" and entry.get("prefix_placeholder"):
                found[entry["_path"]] = entry["prefix_placeholder"]
    return found


def _read(member: Member) -> bytes:
    """Read a file, and check that it is the same as when it was found.

    Raises
    ------
    SiteError
        It cannot be read, or has changed.
    """
    if not member.source:
        return member.content
    try:
        with open(member.source, "rb") as file:  # noqa: PTH123 - names that are no text
            data = file.read()
            now = identity_of(os.fstat(file.fileno()))
    except OSError as error:
        raise SiteError(f"packing: `{member.source}` cannot be read: {error.strerror}") from None
    if now != member.identity or len(data) != member.size:
        raise SiteError(f"packing: `{member.source}` changes while it is packed; try again when nothing writes to it")
    return data


def _account(found: _Found, member: Member, content: Content, digest: str) -> None:
    if not is_derived(member.name):
        found.digest.update(_line(member, digest))
    if member.kind != "file":
        return
    found.files += 1
    found.unpacked += len(content.data)
    if content.mode:
        found.relocations[content.mode].setdefault(content.placeholder, []).append(member.name)
    if content.note:
        found.notes.append(content.note)
    if member.name.endswith((".dist-info/METADATA", ".egg-info/PKG-INFO")):
        found.packages.update(_distribution(content.data))


def _line(member: Member, digest: str) -> bytes:
    """Return what counts of a member for the environment hash."""
    what = member.target if member.kind == "link" else digest
    mode = "x" if member.executable else "-"
    return f"{member.kind}\0{mode}\0{member.name}\0{what}\n".encode("utf-8", "surrogateescape")


def _distribution(metadata: bytes) -> dict[str, str]:
    from email.parser import BytesHeaderParser

    from fasthep_parsl.packing.manifest import normalised

    parsed = BytesHeaderParser().parsebytes(metadata)
    name, version = parsed.get("Name"), parsed.get("Version")
    return {normalised(name): str(version)} if name and version else {}


def _tar_member(member: Member, data: bytes, mtime: int) -> bytes:
    info = tarfile.TarInfo(member.name)
    info.mtime = mtime
    info.mode = 0o755 if member.executable or member.kind != "file" else 0o644
    if member.kind == "link":
        info.type, info.linkname = tarfile.SYMTYPE, member.target
    elif member.kind == "folder":
        info.type = tarfile.DIRTYPE
    else:
        info.size = len(data)
    return header(info) + data + padding(len(data))


def read_manifest(path: Path) -> Manifest:
    """Return the manifest of an archive. Only its start is read.

    Raises
    ------
    SiteError
        It is no archive of an environment.
    """
    with _opened(path) as archive:
        return _manifest_of(archive, path)


def _opened(path: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(fileobj=open_stream(path), mode="r|", format=tarfile.GNU_FORMAT)
    except (OSError, tarfile.TarError) as error:
        raise _no_archive(path, error) from None


def _manifest_of(archive: tarfile.TarFile, path: Path) -> Manifest:
    try:
        first = archive.next()
        content = archive.extractfile(first) if first is not None and first.name == MANIFEST else None
        if content is None:
            raise SiteError(f"`{path}` is no packed environment: its first file is not `{MANIFEST}`")
        return Manifest.model_validate_json(content.read())
    except (OSError, EOFError, tarfile.TarError, ValidationError) as error:
        raise _no_archive(path, error) from None


def _no_archive(path: Path, error: Exception) -> SiteError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error).splitlines()[0]
    return SiteError(f"`{path}` cannot be read as a packed environment: {reason}")


def verify_archive(path: Path) -> Manifest:
    """Read all of an archive, compare it with the environment hash, and return its manifest.

    Raises
    ------
    SiteError
        It is damaged.
    """
    digest = hashlib.sha256()
    count = 0
    with _opened(path) as archive:
        manifest = _manifest_of(archive, path)
        try:
            for info in archive:
                if info.name in {MANIFEST, RELOCATE, RELOCATIONS}:
                    continue
                count += info.isreg()
                if not is_derived(info.name):
                    digest.update(_line(*_member_of(archive, info)))
        except (OSError, EOFError, tarfile.TarError, UnicodeError) as error:
            raise _no_archive(path, error) from None
    if (digest.hexdigest(), count) != (manifest.hash, manifest.files):
        raise SiteError(
            f"`{path}` is damaged: its content does not have the environment hash of its manifest; pack it again"
        )
    return manifest


def _member_of(archive: tarfile.TarFile, info: tarfile.TarInfo) -> tuple[Member, str]:
    kind: Literal["file", "link", "folder"] = "link" if info.issym() else "folder" if info.isdir() else "file"
    executable = kind == "file" and bool(info.mode & 0o100)
    content = archive.extractfile(info) if kind == "file" else None
    digest = hashlib.sha256(content.read()).hexdigest() if content is not None else ""
    return Member(info.name, kind, target=info.linkname if kind == "link" else "", executable=executable), digest
