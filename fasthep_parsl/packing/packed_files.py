"""Read the files of an installation, and turn each into what is packed of it."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from email.parser import BytesHeaderParser

from fasthep_parsl.errors import SiteError
from fasthep_parsl.packing.contents import (
    Content,
    NoRoomError,
    Prefixes,
    compiled_content,
    is_local_origin,
    packed_content,
)
from fasthep_parsl.packing.manifest import is_derived, normalised
from fasthep_parsl.packing.members import Member, identity_of

_METADATA = re.compile(
    r"lib(?:64)?/python3[^/]*/(site-packages|base-packages-\d+)/[^/]+(?:\.dist-info/METADATA|\.egg-info(?:/PKG-INFO)?)"
)


@dataclass(frozen=True)
class Relocating:
    """How contents become independent of the place of an installation.

    Attributes
    ----------
    prefixes : Prefixes
        The folders that the archive replaces.
    search : mapping
        Member → folders in which it must search its libraries.
    declared : mapping
        Binary files that can be relocated → the placeholder that was in them when they were built.
    cache_tag : str
        Part of the names of the compiled files of the Python, ``cpython-311``.
    """

    prefixes: Prefixes
    search: Mapping[str, str]
    declared: Mapping[str, str]
    cache_tag: str


def packed_members(members: Iterable[Member], relocating: Relocating) -> Iterator[tuple[Member, Content | None, str]]:
    """Yield what is packed of each member, in the order of their names; compiled code comes after its source.

    Parameters
    ----------
    members : iterable of Member
        The members.
    relocating : Relocating
        How contents become independent of the place.

    Yields
    ------
    Member
        The member.
    Content or None
        Its content; None if it is not packed.
    str
        The SHA-256 of the content, if it is a file that counts for the environment hash.

    Raises
    ------
    SiteError
        A file cannot be packed, or has changed.
    """
    source, text = Member(""), b""
    for member in sorted(members, key=_order):
        if member.kind != "file":
            yield member, Content(b""), ""
            continue
        data = read(member)
        if is_derived(member.name):
            name, tag = _source_of(member.name)
            compiled = None
            if (name, tag) == (source.name, relocating.cache_tag):
                compiled = compiled_content(data, text, source.identity[1] // 1_000_000_000, relocating.prefixes)
            yield member, None if compiled is None else Content(compiled), ""
        elif is_local_origin(member.name, data):
            yield member, None, ""
        else:
            source, text = member, data
            content = _content(member, data, relocating)
            yield member, content, hashlib.sha256(content.data).hexdigest()


def _order(member: Member) -> tuple[str, str]:
    """Sort compiled code behind its source, which is then read once for both."""
    return (_source_of(member.name)[0], member.name) if is_derived(member.name) else (member.name, "")


def _source_of(name: str) -> tuple[str, str]:
    """Return the source of a compiled file, and its cache tag."""
    folder, _, file = name.rpartition("/__pycache__/")
    stem, tag, *_ = file.split(".")
    return f"{folder}/{stem}.py", tag


def _content(member: Member, data: bytes, relocating: Relocating) -> Content:
    try:
        return packed_content(
            member.name,
            data,
            relocating.prefixes,
            search=relocating.search.get(member.name),
            declared=relocating.declared,
        )
    except NoRoomError:
        raise SiteError(
            f"packing: the Python `{member.source}` has no room for the path of its libraries: pack an installation "
            "with another Python, such as one of conda, pixi, pyenv or uv"
        ) from None


def read(member: Member) -> bytes:
    """Read a file, and check that it is the same as when it was found.

    Raises
    ------
    SiteError
        It cannot be read, or has changed.
    """
    if not member.source:
        return member.content
    try:
        file = os.open(member.source, os.O_RDONLY | os.O_CLOEXEC)  # much faster than `open` for small files
        try:
            data = os.read(file, member.size + 1)
            while 0 < len(data) < member.size and (more := os.read(file, member.size + 1 - len(data))):
                data += more  # one call reads 2 GB at most
            now = identity_of(os.fstat(file))
        finally:
            os.close(file)
    except OSError as error:
        raise SiteError(f"packing: `{member.source}` cannot be read: {error.strerror}") from None
    if now != member.identity or len(data) != member.size:
        raise SiteError(f"packing: `{member.source}` changes while it is packed; try again when nothing writes to it")
    return data


def distributions(members: Iterable[Member]) -> dict[str, str]:
    """Return the distributions of an installation: name → version. Those of a venv come before those of its base.

    Raises
    ------
    SiteError
        The metadata of one cannot be read, or have changed.
    """
    found: dict[str, str] = {}
    for member in sorted(members, key=lambda member: member.name):
        match = _METADATA.fullmatch(member.name)
        if match is None or member.kind != "file":
            continue
        parsed = BytesHeaderParser().parsebytes(read(member))
        name, version = parsed.get("Name"), parsed.get("Version")
        if name and version:
            one = {normalised(name): str(version)}
            found = found | one if match[1] == "site-packages" else one | found
    return dict(sorted(found.items()))
