"""Write an archive of an environment in one pass: read, relocate, hash, compress."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from email.parser import BytesHeaderParser
from importlib.resources import files
from pathlib import Path
from typing import Literal

from fasthep_parsl.atomic import atomic
from fasthep_parsl.errors import SiteError
from fasthep_parsl.packing.compression import BlockWriter, Format, header, padding
from fasthep_parsl.packing.contents import (
    Content,
    NoRoomError,
    Prefixes,
    compiled_content,
    is_local_origin,
    packed_content,
)
from fasthep_parsl.packing.installation import Installation
from fasthep_parsl.packing.libraries import Linking, link
from fasthep_parsl.packing.manifest import (
    MANIFEST,
    RELOCATE,
    RELOCATIONS,
    Manifest,
    is_derived,
    normalised,
    this_platform,
)
from fasthep_parsl.packing.members import Member, identity_of

Report = Callable[[str, int, int], None]
"""Called with a text, and how many of how many bytes are done."""
Kind = Literal["packed-prefix", "packed-pixi"]
_END = bytes(2 * tarfile.BLOCKSIZE)
_REPORT_EVERY = 16 << 20
_METADATA = re.compile(
    r"lib(?:64)?/python3[^/]*/(site-packages|base-packages-\d+)/[^/]+(?:\.dist-info/METADATA|\.egg-info(?:/PKG-INFO)?)"
)


@dataclass
class _Found:
    """What is known once all members are written."""

    digest: hashlib._Hash = field(default_factory=hashlib.sha256)
    relocations: dict[str, dict[str, list[str]]] = field(default_factory=lambda: {"text": {}, "binary": {}})
    notes: list[str] = field(default_factory=list)
    unpacked: int = 0
    files: int = 0
    packages: dict[str, str] = field(default_factory=dict)


class ArchiveWriter:
    """Write the archive of an installation.

    Parameters
    ----------
    installation : Installation
        The installation.
    members : iterable of Member
        Its files, links and empty folders.
    built : iterable of str
        Names of distributions that were not installed from wheels.
    report : callable
        Called with a text, and how many of how many bytes are done.
    """

    def __init__(
        self, installation: Installation, members: Iterable[Member], built: Iterable[str], report: Report
    ) -> None:
        members = list(members)
        self._built = tuple(sorted(built))
        self._installation = installation
        self._prefixes = Prefixes(_replaced(installation))
        self._linking: Linking = link(
            members, self._prefixes.paths, from_system=installation.platform == this_platform()
        )
        self._members = {member.name: member for member in (*members, *self._linking.added)}
        self._declared = _declared(installation)
        self._report = report

    def write(self, target: Path, kind: Kind, name: str, form: Format) -> Manifest:
        """Write the archive, and return what it contains.

        Raises
        ------
        SiteError
            A file cannot be packed, or changed while it was packed.
        """
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
                            _write(writer, member, data, 0)
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
        # one thread reads and the others compress: more readers wait for each other at every small file
        for member in (self._members[name] for name in sorted(self._members)):
            content, digest = self._content(member)
            done += member.size
            if content is None:
                continue
            _account(found, member, content, digest)
            _write(writer, member, content.data, member.identity[1] // 1_000_000_000)
            if done - reported > _REPORT_EVERY:
                self._report("packing the environment", done, total)
                reported = done
        self._report("packing the environment", total, total)
        for note in found.notes:
            self._report(note, 1, 1)
        return found

    def _content(self, member: Member) -> tuple[Content | None, str]:
        if member.kind != "file":
            return Content(b""), ""
        data = _read(member)
        if is_local_origin(member.name, data):
            return None, ""
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
                f"packing: the Python `{member.source}` has no room for the path of its libraries: pack an installation "
                "with another Python, such as one of conda, pixi, pyenv or uv"
            ) from None
        return content, hashlib.sha256(content.data).hexdigest()

    def _compiled(self, member: Member, data: bytes) -> bytes | None:
        """Return compiled code that is valid at any place; None if its source is not packed, or is newer."""
        folder, _, file = member.name.rpartition("/__pycache__/")
        stem, tag, *_ = file.split(".")
        source = self._members.get(f"{folder}/{stem}.py")
        if source is None or tag != self._installation.cache_tag or source.kind != "file":
            return None
        return compiled_content(data, _read(source), source.identity[1] // 1_000_000_000, self._prefixes)

    def _manifest(self, found: _Found, kind: Kind, name: str) -> Manifest:
        return Manifest(
            kind=kind,
            name=name,
            platform=self._installation.platform,
            python=self._installation.version,
            packages=dict(sorted(found.packages.items())),
            built=self._built,
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
    folders = [folder / "conda-meta" for folder in (installation.base, installation.prefix)]
    for record in (record for folder in folders for record in sorted(folder.glob("*.json"))):
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
        with open(member.source, "rb", buffering=0) as file:  # noqa: PTH123 - names that are no text
            data = file.read()
            now = identity_of(os.fstat(file.fileno()))
    except OSError as error:
        raise SiteError(f"packing: `{member.source}` cannot be read: {error.strerror}") from None
    if now != member.identity or len(data) != member.size:
        raise SiteError(f"packing: `{member.source}` changes while it is packed; try again when nothing writes to it")
    return data


def _account(found: _Found, member: Member, content: Content, digest: str) -> None:
    if not is_derived(member.name):
        found.digest.update(hash_line(member, digest))
    if member.kind != "file":
        return
    found.files += 1
    found.unpacked += len(content.data)
    if content.mode:
        found.relocations[content.mode].setdefault(content.placeholder, []).append(member.name)
    if content.note:
        found.notes.append(content.note)
    folder = _site_folder(member.name)
    if folder == "site-packages":
        found.packages.update(_distribution(content.data))
    elif folder:  # of the base of a venv
        found.packages = {**_distribution(content.data), **found.packages}


def hash_line(member: Member, digest: str) -> bytes:
    """Return what counts of a member for the environment hash."""
    what = member.target if member.kind == "link" else digest
    mode = "x" if member.executable else "-"
    return f"{member.kind}\0{mode}\0{member.name}\0{what}\n".encode("utf-8", "surrogateescape")


def _site_folder(name: str) -> str:
    """Return the name of the folder with a distribution that this member describes; empty if it describes none."""
    match = _METADATA.fullmatch(name)
    return match[1] if match else ""


def _distribution(metadata: bytes) -> dict[str, str]:
    parsed = BytesHeaderParser().parsebytes(metadata)
    name, version = parsed.get("Name"), parsed.get("Version")
    return {normalised(name): str(version)} if name and version else {}


def _write(writer: BlockWriter, member: Member, data: bytes, mtime: int) -> None:
    mode = 0o755 if member.executable or member.kind != "file" else 0o644
    kind = {"link": tarfile.SYMTYPE, "folder": tarfile.DIRTYPE, "file": tarfile.REGTYPE}[member.kind]
    writer.write(header(member.name, mode, mtime, size=len(data), kind=kind, target=member.target))
    if data:
        writer.write(data)
        writer.write(padding(len(data)))
