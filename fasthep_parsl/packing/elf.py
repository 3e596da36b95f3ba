"""Shared libraries and programs (ELF files): what they need, and where they search for it."""

from __future__ import annotations

import mmap
import re
import struct
from dataclasses import dataclass, field

_NEEDED, _STRTAB, _SONAME, _RPATH, _RUNPATH = 1, 5, 14, 15, 29
_VERNEED, _VERNEEDNUM = 0x6FFFFFFE, 0x6FFFFFFF
_LOAD, _DYNAMIC, _INTERP = 1, 2, 3
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_ENTRY = struct.Struct("<qQ")
_GLIBC = re.compile(rb"GLIBC_(\d+(?:\.\d+)+)$")


@dataclass(frozen=True, slots=True)
class ProgramSegment:
    """An entry of the program header: position of the entry, type, and place in the file and in memory [bytes]."""

    entry: int
    kind: int
    offset: int
    address: int
    size: int


@dataclass(frozen=True, slots=True)
class Elf:
    """A dynamic ELF file for 64 bits, little-endian.

    Attributes
    ----------
    needed : tuple of str
        Names of the libraries that it needs.
    soname : str
        Name under which others need it.
    search : tuple of str
        Folders in which its libraries are searched.
    glibc : str
        Lowest version of glibc that it needs; empty if none.
    program : bool
        Whether it is a program, and no library.
    segments : tuple of ProgramSegment
        Its segments.
    entries : tuple
        Its dynamic section: position in the file, tag, value.
    strings : int
        Position of its string table in the file.
    """

    needed: tuple[str, ...] = ()
    soname: str = ""
    search: tuple[str, ...] = ()
    glibc: str = ""
    program: bool = False
    segments: tuple[ProgramSegment, ...] = field(default=(), repr=False)
    entries: tuple[tuple[int, int, int], ...] = field(default=(), repr=False)
    strings: int = 0

    @property
    def loaded(self) -> list[ProgramSegment]:
        """The segments that are in memory when it runs."""
        return [segment for segment in self.segments if segment.kind == _LOAD]


def is_elf(content: bytes | mmap.mmap) -> bool:
    """Return whether a file is an ELF file for 64 bits, little-endian."""
    return content[:6] == b"\x7fELF\x02\x01"


def read_elf(content: bytes | mmap.mmap) -> Elf | None:
    """Return what an ELF file says; None if it is none, or has no dynamic section."""
    if not is_elf(content):
        return None
    try:
        return _read(content)
    except (struct.error, IndexError, ValueError):  # damaged, or an object file
        return None


def _read(content: bytes | mmap.mmap) -> Elf | None:
    *_, position, _, _, _, size, count, _, _, _ = _HEADER.unpack_from(content)
    found = []
    for number in range(count):
        entry = position + number * size
        kind, _, offset, address, _, length, _, _ = _SEGMENT.unpack_from(content, entry)
        found.append(ProgramSegment(entry, kind, offset, address, length))
    segments = tuple(found)
    dynamic = next((segment for segment in segments if segment.kind == _DYNAMIC), None)
    if dynamic is None or dynamic.size == 0:
        return None
    entries = tuple(
        (place, *_ENTRY.unpack_from(content, place))
        for place in range(dynamic.offset, dynamic.offset + dynamic.size, _ENTRY.size)
    )
    end = next(number for number, (_, tag, _) in enumerate(entries) if tag == 0)
    values = {tag: value for _, tag, value in entries[:end]}
    strings = _position(segments, values[_STRTAB])

    def text(value: int) -> str:
        start = strings + value
        return content[start : _end(content, start)].decode("utf-8", "surrogateescape")

    search = values.get(_RUNPATH, values.get(_RPATH))
    return Elf(
        tuple(text(value) for _, tag, value in entries[:end] if tag == _NEEDED),
        text(values[_SONAME]) if _SONAME in values else "",
        tuple(text(search).split(":")) if search is not None else (),
        _glibc(content, segments, values, strings),
        any(segment.kind == _INTERP for segment in segments),
        segments,
        entries,
        strings,
    )


def _position(segments: tuple[ProgramSegment, ...], address: int) -> int:
    for segment in segments:
        if segment.kind == _LOAD and segment.address <= address < segment.address + segment.size:
            return address - segment.address + segment.offset
    raise ValueError(address)


def _end(content: bytes | mmap.mmap, start: int) -> int:
    end = content.find(b"\0", start)
    if end < 0:
        raise ValueError(start)
    return end


def version_key(version: str) -> tuple[int, ...]:
    """Return a version such as ``2.17`` as a key for sorting."""
    return tuple(int(part) for part in version.split(".")) if version else ()


def _glibc(
    content: bytes | mmap.mmap, segments: tuple[ProgramSegment, ...], values: dict[int, int], strings: int
) -> str:
    """Return the highest version of glibc that is named in the table of needed versions."""
    if _VERNEED not in values:
        return ""
    found = ""
    place = _position(segments, values[_VERNEED])
    for _ in range(values.get(_VERNEEDNUM, 0)):
        _, count, _, first, following = struct.unpack_from("<HHIII", content, place)
        version = place + first
        for _ in range(count):
            _, _, _, name, step = struct.unpack_from("<IHHII", content, version)
            start = strings + name
            match = _GLIBC.match(content[start : _end(content, start)])
            if match:
                found = max(found, match[1].decode(), key=version_key)
            version += step
        place += following
    return found


def with_search(content: bytes, elf: Elf, search: str) -> bytes | None:
    """Return an ELF file that searches its libraries in `search` (an RPATH); None if there is no room for it.

    It becomes an RPATH, which also holds for what its libraries need. The place of all other bytes is unchanged.

    Parameters
    ----------
    content : bytes
        The file.
    elf : Elf
        What `read_elf` returns for it.
    search : str
        Folders, separated by colons; empty for none.
    """
    changed = bytearray(content)
    end = next(number for number, (_, tag, _) in enumerate(elf.entries) if tag == 0)
    kept = [(tag, value) for _, tag, value in elf.entries[:end] if tag not in {_RPATH, _RUNPATH}]
    if search:
        encoded = search.encode("utf-8", "surrogateescape") + b"\0"
        value = _in_place(changed, elf, encoded, end)
        if value is None:
            value = _in_gap(changed, elf, encoded)
        if value is None or len(kept) + 1 >= len(elf.entries):
            return None
        kept.append((_RPATH, value))
    else:
        _in_place(changed, elf, b"\0", end)  # the old path leaves the file
    for number, (place, _, _) in enumerate(elf.entries):
        _ENTRY.pack_into(changed, place, *(kept[number] if number < len(kept) else (0, 0)))
    return bytes(changed)


def _in_place(changed: bytearray, elf: Elf, encoded: bytes, end: int) -> int | None:
    """Write over the current search path, if it is long enough."""
    found = None
    for _, tag, value in elf.entries[:end]:
        if tag in {_RPATH, _RUNPATH}:
            start = elf.strings + value
            room = changed.index(b"\0", start) - start + 1
            if any(_overlaps(other, value, room) for other in _names(elf, end)):
                continue  # the linker lets names end in the same bytes
            if found is None and len(encoded) <= room:
                found = value
                changed[start : start + room] = encoded.ljust(room, b"\0")
            else:
                changed[start : start + room] = bytes(room)
    return found


def _names(elf: Elf, end: int) -> list[int]:
    return [value for _, tag, value in elf.entries[:end] if tag in {_NEEDED, _SONAME}]


def _overlaps(name: int, value: int, room: int) -> bool:
    return value <= name < value + room


def _in_gap(changed: bytearray, elf: Elf, encoded: bytes) -> int | None:
    """Write into the gap behind the segment of the string table: it is mapped up to the end of its page."""
    page = 0x1000
    loads = elf.loaded
    for segment in loads:
        if not segment.offset <= elf.strings < segment.offset + segment.size:
            continue
        start = segment.offset + segment.size
        limit = min([-(-start // page) * page, *(other.offset for other in loads if other.offset >= start)])
        file_size, memory_size = struct.unpack_from("<QQ", changed, segment.entry + 32)
        gap = changed[start : start + len(encoded)]
        if start + len(encoded) > limit or file_size != memory_size or any(gap) or len(gap) < len(encoded):
            return None
        changed[start : start + len(encoded)] = encoded
        struct.pack_into("<QQ", changed, segment.entry + 32, file_size + len(encoded), memory_size + len(encoded))
        return start - elf.strings
    return None
