"""The content of a file in an archive: paths of this machine are replaced, and compiled code is made independent of them."""

from __future__ import annotations

import _imp
import csv
import io
import json
import os
import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fasthep_parsl.packing.elf import ProgramSegment, read_elf, with_search
from fasthep_parsl.packing.manifest import PLACEHOLDER

_NAME_GOES_ON = rb"(?![\w.+~-])"
_SHORT_TEXT = frozenset(b"zZ")
_LONG_TEXT = frozenset(b"aAut")
_REFERENCE = 0x80
_PYC_HEADER = struct.Struct("<4sIII")
_UNCHECKED = 1
_FINDS_ITSELF = re.compile(r"^bin/python3\.\d+t?$|^lib/libpython3[^/]*$")
"""Python finds its prefix by the place of its program."""
PYTHON_PROGRAM = re.compile(r"bin/python3\.\d+t?")
_CONDA_PATHS = ("link", "extracted_package_dir", "package_tarball_full_path", "requested_spec", "requested_specs")
"""Entries of conda's records with paths and commands of the user."""


@dataclass(frozen=True, slots=True)
class Content:
    """The content of a member as it is packed.

    Attributes
    ----------
    data : bytes
        The content.
    mode : str
        ``text`` or ``binary`` if it must be relocated, else empty.
    placeholder : str
        The prefix in it.
    note : str
        What the user should know; empty for nothing.
    """

    data: bytes
    mode: str = ""
    placeholder: str = ""
    note: str = ""


class Prefixes:
    """The folders that an archive replaces.

    Parameters
    ----------
    paths : iterable of str
        The folders, as files may write them.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self.paths = tuple(sorted(dict.fromkeys(paths), key=len, reverse=True))
        self._bytes = tuple(path.encode("utf-8", "surrogateescape") for path in self.paths)
        self._common = os.path.commonpath(self._bytes)
        self._pattern = re.compile(b"(?:" + b"|".join(map(re.escape, self._bytes)) + b")" + _NAME_GOES_ON)

    def within(self, data: bytes) -> bool:
        """Return whether a file contains one of them."""
        return self.first(data) is not None

    def first(self, data: bytes, start: int = 0) -> re.Match[bytes] | None:
        """Return where a file contains one of them first, from a position on."""
        found = data.find(self._common, start)  # faster than the pattern
        return None if found < 0 else self._pattern.search(data, found)

    def replaced(self, data: bytes, new: bytes) -> bytes:
        """Return a text with another prefix."""
        return self._pattern.sub(lambda _: new, data)

    def blanked(self, data: bytes, loaded: Iterable[ProgramSegment]) -> bytes:
        """Return a program with the folders overwritten where only debuggers read them.

        In what is loaded, they stay: linkers let texts share their ends, such as a path and a version.
        """
        kept = [(segment.offset, segment.offset + segment.size) for segment in loaded]

        def blank(match: re.Match[bytes]) -> bytes:
            if any(start < match.end() and match.start() < end for start, end in kept):
                return match[0]
            return b"/" + b"_" * (len(match[0]) - 1)

        return self._pattern.sub(blank, data)

    def restored(self, data: bytes, placeholder: bytes) -> bytes | None:
        """Return a binary file with the placeholder that conda has replaced; None if it has no room for it."""
        missing = False

        def restore(match: re.Match[bytes]) -> bytes:
            nonlocal missing
            text = self._pattern.sub(lambda _: placeholder, match[1])
            room = len(match[0]) - len(text)
            missing = missing or room < 1
            return text + bytes(max(room, 0))

        changed = re.sub(b"(" + self._pattern.pattern + rb"[^\0]*)\0+", restore, data)
        return None if missing or len(changed) != len(data) else changed


def packed_content(
    name: str, data: bytes, prefixes: Prefixes, *, search: str | None, declared: Mapping[str, str]
) -> Content:
    """Return what is packed of a file that is not compiled Python code.

    Parameters
    ----------
    name : str
        Path in the archive.
    data : bytes
        The content of the file.
    prefixes : Prefixes
        The folders that the archive replaces.
    search : str or None
        Folders in which an ELF file must search its libraries; None leaves it unchanged.
    declared : mapping
        Binary files that can be relocated → the placeholder that was in them when they were built.
    """
    folder, _, file = name.rpartition("/")
    if file == "RECORD" and folder.endswith(".dist-info"):
        data = _record(data)
    if folder.rpartition("/")[2] == "conda-meta":
        data = _conda_record(file, data)
    note = ""
    if search is not None:
        data, note = _linked(name, data, search)
    if not prefixes.within(data):
        return Content(data, note=note)
    if name in declared:
        restored = prefixes.restored(data, declared[name].encode())
        if restored is not None:
            return Content(restored, "binary", declared[name])
    if b"\0" not in data:
        return Content(prefixes.replaced(data, PLACEHOLDER.encode()), "text", PLACEHOLDER)
    elf = read_elf(data)
    if elf is not None:
        data = prefixes.blanked(data, elf.loaded)
    if not note and not _FINDS_ITSELF.search(name) and prefixes.within(data):
        note = f"`{name}` contains the path of the environment and is no text: it may not find its files on nodes"
    return Content(data, note=note)


def _linked(name: str, data: bytes, search: str) -> tuple[bytes, str]:
    """Return an ELF file with another search path, and a note if it has no room for it.

    Without a path of its own, a library is searched where the program of Python says, which has room or is refused.
    """
    elf = read_elf(data)
    if elf is None:
        return data, ""
    changed = with_search(data, elf, search)
    if changed is not None:
        return changed, ""
    if PYTHON_PROGRAM.fullmatch(name):
        raise NoRoomError(name)
    return with_search(data, elf, "") or data, f"`{name}` has no room for `{search}`: it uses libraries of the node"


class NoRoomError(Exception):
    """The program of Python has no room for a search path."""


def _record(data: bytes) -> bytes:
    """Return a list of installed files without those that depend on the place: scripts, compiled code."""
    rows = []
    for row in csv.reader(io.StringIO(data.decode("utf-8", "surrogateescape"))):
        if not row or row[0].endswith((".pyc", ".dist-info/direct_url.json")):
            continue
        rows.append([row[0], "", ""] if row[0].startswith(("../", "/")) else row)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(sorted(rows))
    return text.getvalue().encode("utf-8", "surrogateescape")


def _conda_record(name: str, data: bytes) -> bytes:
    if name == "history":
        return b""
    if not name.endswith(".json"):
        return data
    record = json.loads(data)
    return json.dumps({key: value for key, value in record.items() if key not in _CONDA_PATHS}, indent=2).encode()


def is_local_origin(name: str, data: bytes) -> bool:
    """Return whether a file says from which local folder a distribution was installed (PEP 610): no node has it."""
    if not name.endswith(".dist-info/direct_url.json"):
        return False
    try:
        return str(json.loads(data).get("url", "")).startswith("file:")
    except (ValueError, AttributeError):
        return True


def compiled_content(data: bytes, source: bytes, source_mtime: int, prefixes: Prefixes) -> bytes | None:
    """Return compiled Python code that is valid at any place and time; None if it is not the code of its source.

    It gets the hash of the source in place of its time. Python does not compare it again ("unchecked").

    Parameters
    ----------
    data : bytes
        The compiled file.
    source : bytes
        Its source.
    source_mtime : int
        Modification time of the source [s].
    prefixes : Prefixes
        The folders that the archive replaces.
    """
    if len(data) <= _PYC_HEADER.size or prefixes.within(source):
        return None
    magic, flags, first, second = _PYC_HEADER.unpack_from(data)
    expected = _imp.source_hash(int.from_bytes(magic, "little"), source)
    if flags == 0:
        if (first, second) != (source_mtime & 0xFFFFFFFF, len(source) & 0xFFFFFFFF):
            return None
    elif data[8:16] != expected:
        return None
    code = _without_paths(data[16:], prefixes)
    return None if code is None else magic + struct.pack("<I", _UNCHECKED) + expected + code


def _without_paths(code: bytes, prefixes: Prefixes) -> bytes | None:
    """Return marshalled code whose file names are relative to the prefix. Python completes them when it imports it."""
    start = 0
    while (found := prefixes.first(code, start)) is not None:
        start = found.start()
        shorter = _shorter_text(code, start, found.end() - start + 1)
        if shorter is None:
            return None
        code = shorter
    return code


def _shorter_text(code: bytes, start: int, removed: int) -> bytes | None:
    """Remove the begin of a text in marshalled code."""
    if start >= 2 and code[start - 2] & ~_REFERENCE in _SHORT_TEXT and code[start - 1] > removed:
        return code[: start - 1] + bytes([code[start - 1] - removed]) + code[start + removed :]
    if start >= 5 and code[start - 5] & ~_REFERENCE in _LONG_TEXT:
        length = int.from_bytes(code[start - 4 : start], "little")
        if removed < length < 1 << 16:
            return code[: start - 4] + (length - removed).to_bytes(4, "little") + code[start + removed :]
    return None
