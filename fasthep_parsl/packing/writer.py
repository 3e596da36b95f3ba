"""Write an archive of an environment in one pass: read, relocate, hash, compress."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Literal

from fasthep_parsl.atomic import atomic
from fasthep_parsl.packing.compression import BlockWriter, Format, header, padding, stored
from fasthep_parsl.packing.contents import Content, Prefixes
from fasthep_parsl.packing.installation import Installation
from fasthep_parsl.packing.libraries import Linking, link
from fasthep_parsl.packing.manifest import MANIFEST, RELOCATE, RELOCATIONS, Manifest, is_derived, this_platform
from fasthep_parsl.packing.members import Member
from fasthep_parsl.packing.packed_files import Relocating, distributions, packed_members

Report = Callable[[str, int, int], None]
"""Called with a text, and how many of how many bytes are done."""
Kind = Literal["packed-prefix", "packed-pixi"]
_END = bytes(2 * tarfile.BLOCKSIZE)
_REPORT_EVERY = 16 << 20
_WIDEST = 10**15
"""A number with more digits than the size of any environment."""


@dataclass
class _Found:
    """What is known once all members are written."""

    digest: hashlib._Hash = field(default_factory=hashlib.sha256)
    relocations: dict[str, dict[str, list[str]]] = field(default_factory=lambda: {"text": {}, "binary": {}})
    notes: list[str] = field(default_factory=list)
    unpacked: int = 0
    files: int = 0


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
        prefixes = Prefixes(_replaced(installation))
        self._linking: Linking = link(members, prefixes.paths, from_system=installation.platform == this_platform())
        self._members = {member.name: member for member in (*members, *self._linking.added)}
        self._relocating = Relocating(prefixes, self._linking.search, _declared(installation), installation.cache_tag)
        self._report = report

    def write(self, target: Path, kind: Kind, name: str, form: Format) -> Manifest:
        """Write the archive, and return what it contains.

        Raises
        ------
        SiteError
            A file cannot be packed, or changed while it was packed.
        """
        target.parent.mkdir(parents=True, exist_ok=True)
        known = self._manifest(kind, name)
        room = len(_text(known))
        with atomic(target) as draft, draft.open("wb") as file:
            file.write(_start(known, room, form))
            with BlockWriter(file, form) as writer:
                found = self._write_body(writer)
                writer.finish()
            manifest = known.model_copy(
                update={"hash": found.digest.hexdigest(), "unpacked": found.unpacked, "files": found.files}
            )
            file.seek(0)
            file.write(_start(manifest, room, form))
        return manifest

    def _manifest(self, kind: Kind, name: str) -> Manifest:
        """Return what is known before the files are read. The rest is as long as it can become."""
        return Manifest(
            kind=kind,
            name=name,
            platform=self._installation.platform,
            python=self._installation.version,
            packages=distributions(self._members.values()),
            built=self._built,
            hash=hashlib.sha256().hexdigest(),
            unpacked=_WIDEST,
            files=_WIDEST,
            glibc=self._linking.glibc,
        )

    def _write_body(self, writer: BlockWriter) -> _Found:
        program = files("fasthep_parsl.packing").joinpath("relocate.py").read_bytes()
        _write(writer, Member(RELOCATE), program, 0)
        found = _Found()
        total = sum(member.size for member in self._members.values())
        done, reported = 0, 0
        # one thread reads and the others compress: more readers wait for each other at every small file
        for member, content, digest in packed_members(self._members.values(), self._relocating):
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
        _write(writer, Member(RELOCATIONS), self._relocations(found), 0)
        writer.write(_END)
        return found

    def _relocations(self, found: _Found) -> bytes:
        relocations = {
            **found.relocations,
            "modules": self._linking.modules,
            "libraries": [member.name for member in self._linking.added],
        }
        return json.dumps(relocations, indent=1).encode()


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


def hash_line(member: Member, digest: str) -> bytes:
    """Return what counts of a member for the environment hash."""
    what = member.target if member.kind == "link" else digest
    mode = "x" if member.executable else "-"
    return f"{member.kind}\0{mode}\0{member.name}\0{what}\n".encode("utf-8", "surrogateescape")


def _text(manifest: Manifest) -> bytes:
    return manifest.model_dump_json(indent=2).encode()


def _start(manifest: Manifest, room: int, form: Format) -> bytes:
    """Return the start of an archive. It has the same size for all manifests that fit into `room` [bytes].

    It is written twice: first to reserve its place, then when everything is known. The rest is not moved.
    """
    member = _record(Member(MANIFEST), room, 0)
    return stored(member + _text(manifest).ljust(room) + padding(room), form)


def _record(member: Member, size: int, mtime: int) -> bytes:
    mode = 0o755 if member.executable or member.kind != "file" else 0o644
    kind = {"link": tarfile.SYMTYPE, "folder": tarfile.DIRTYPE, "file": tarfile.REGTYPE}[member.kind]
    return header(member.name, mode, mtime, size=size, kind=kind, target=member.target)


def _write(writer: BlockWriter, member: Member, data: bytes, mtime: int) -> None:
    writer.write(_record(member, len(data), mtime))
    if data:
        writer.write(data)
        writer.write(padding(len(data)))
