"""Shared libraries that programs of an archive need and that are outside of it: they are brought along.

The programs find them in `lib` of the prefix: an RPATH in the file of Python holds for all libraries that it loads. No
environment variable is needed, so that other programs of the node are not affected.
"""

from __future__ import annotations

import mmap
import os
import posixpath
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from fasthep_parsl.packing.elf import Elf, is_elf, read_elf, version_key
from fasthep_parsl.packing.members import Member, file_member

LIBRARIES = "lib"
"""Folder of an archive with the libraries that it brings along."""
_OF_SYSTEM = re.compile(
    r"(ld-linux|linux-vdso|libc\.so|libm\.so|libdl\.|libpthread\.|librt\.|libutil\.|libresolv\.|libnsl\.so\.1|libanl\.|"
    r"libmvec\.|libBrokenLocale\.|libthread_db\.|libnss_|"
    r"libcuda\.|libnvidia|libnvcuvid|libGL|libEGL|libOpenGL|libOpenCL|libdrm|libgbm|libibverbs|librdmacm)"
)
"""Libraries of glibc, and of drivers: they belong to the node."""
_FOLDERS = ("/lib64", "/usr/lib64", "/lib", "/usr/lib")
_CACHE_LINE = re.compile(r"^\s*(\S+) \((.*?)\) => (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Linking:
    """How the programs of an archive find their libraries.

    Attributes
    ----------
    added : list of Member
        Libraries from outside.
    search : dict
        Member → folders in which it must search its libraries, relative to it (`$ORIGIN`).
    modules : list of str
        Modules of the standard library that need a library from outside.
    glibc : str
        Lowest version of glibc that all of it needs.
    """

    added: list[Member] = field(default_factory=list)
    search: dict[str, str] = field(default_factory=dict)
    modules: list[str] = field(default_factory=list)
    glibc: str = ""


def link(members: Iterable[Member], prefixes: Iterable[str], *, from_system: bool = True) -> Linking:
    """Find the libraries from outside that members need, also indirectly, and how the members find them.

    Parameters
    ----------
    members : iterable of Member
        All members.
    prefixes : iterable of str
        Folders that the archive replaces: an absolute path below them is a path in the archive.
    from_system : bool
        Whether libraries of this machine fit, which is so if the archive is for its platform.
    """
    return _Linker({member.name: member for member in members}, tuple(prefixes), from_system).run()


class _Linker:
    def __init__(self, members: dict[str, Member], prefixes: tuple[str, ...], from_system: bool) -> None:
        self._members = members
        self._prefixes = prefixes
        self._from_system = from_system
        self._outside = _system_libraries() if from_system else {}
        self._added: dict[str, Member] = {}
        self._uses_added: set[str] = set()

    def run(self) -> Linking:
        found = {name: elf for name, member in self._members.items() if (elf := _elf_of(member)) is not None}
        waiting = list(found.items())
        while waiting:
            name, elf = waiting.pop()
            for needed in elf.needed:
                new = self._bring(name, elf, needed)
                if new is not None and new.name not in found:
                    added = _elf_of(new)
                    if added is not None:
                        found[new.name] = added
                        waiting.append((new.name, added))
        search = {name: path for name, elf in found.items() if (path := self._search(name, elf)) is not None}
        modules = sorted(
            PurePosixPath(name).name.split(".")[0]
            for name in self._uses_added
            if PurePosixPath(name).parent.name == "lib-dynload"
        )
        glibc = max((elf.glibc for elf in found.values()), key=version_key, default="")
        return Linking([self._added[name] for name in sorted(self._added)], search, modules, glibc)

    def _bring(self, name: str, elf: Elf, needed: str) -> Member | None:
        """Return the library from outside that a member needs; None if it is inside, of the system, or nowhere."""
        if _OF_SYSTEM.match(needed) or "/" in needed:
            return None
        place = f"{LIBRARIES}/{needed}"
        if place in self._added:
            self._uses_added.add(name)
            return self._added[place]
        folders = [folder for part in elf.search if (folder := self._inside(name, part)) is not None]
        if any(f"{folder}/{needed}" in self._members for folder in (*folders, LIBRARIES)):
            return None
        path = self._find(name, elf, needed)
        if path is None:
            return None
        self._added[place] = file_member(place, os.path.realpath(path))
        self._uses_added.add(name)
        return self._added[place]

    def _find(self, name: str, elf: Elf, needed: str) -> str | None:
        if not self._from_system:
            return None
        member = self._members.get(name) or self._added[name]
        origin = os.path.dirname(os.path.realpath(member.source))  # noqa: PTH120 - names that are no text
        given = [folder for folder in os.environ.get("LD_LIBRARY_PATH", "").split(":") if folder]
        own = [folder.replace("$ORIGIN", origin).replace("${ORIGIN}", origin) for folder in elf.search]
        based = [f"{prefix}/lib" for prefix in self._prefixes]
        for folder in (*own, *given, *based):
            if Path(folder, needed).is_file():
                return f"{folder}/{needed}"
        return self._outside.get(needed) or next(
            (f"{folder}/{needed}" for folder in _FOLDERS if Path(folder, needed).is_file()), None
        )

    def _inside(self, name: str, part: str) -> str | None:
        """Return a folder of a search path as a folder of the archive; None if it is outside."""
        start = posixpath.dirname(name)
        for origin in ("$ORIGIN", "${ORIGIN}"):
            if part.startswith(origin):
                folder = posixpath.normpath(posixpath.join(start, part.removeprefix(origin).lstrip("/")))
                return None if folder.startswith("..") else folder
        for prefix in self._prefixes:
            if part == prefix or part.startswith(f"{prefix}/"):
                return posixpath.normpath(part.removeprefix(prefix).lstrip("/") or ".")
        return None

    def _search(self, name: str, elf: Elf) -> str | None:
        """Return the search path that a member must get; None if its own is right."""
        start = posixpath.dirname(name) or "."
        inside = [(part, self._inside(name, part)) for part in elf.search]
        parts = [
            part if part.startswith("$") else _origin(folder, start) for part, folder in inside if folder is not None
        ]
        uses_libraries = name in self._uses_added or any(
            f"{LIBRARIES}/{needed}" in self._members for needed in elf.needed
        )
        if elf.program and uses_libraries and not any(folder == LIBRARIES for _, folder in inside):
            parts.append(_origin(LIBRARIES, start))
        wanted = ":".join(dict.fromkeys(parts))
        return None if wanted == ":".join(elf.search) and not (elf.search and name in self._uses_added) else wanted


def _origin(folder: str, start: str) -> str:
    return f"$ORIGIN/{posixpath.relpath(folder, start)}"


def _elf_of(member: Member) -> Elf | None:
    if not member.source or not (member.executable or ".so" in member.name) or member.size < 64:
        return None
    with open(member.source, "rb") as file:  # noqa: PTH123 - names that are no text
        if not is_elf(file.read(6)):
            return None
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return read_elf(content)


def _system_libraries() -> dict[str, str]:
    """Return the libraries that the loader of this system knows: name → path."""
    found: dict[str, str] = {}
    for program in ("/sbin/ldconfig", "/usr/sbin/ldconfig", "ldconfig"):
        try:
            done = subprocess.run([program, "-p"], capture_output=True, text=True, check=False)  # noqa: S603
        except OSError:
            continue
        for name, kind, path in _CACHE_LINE.findall(done.stdout):
            if "x86-64" in kind or "AArch64" in kind or kind == "libc6":
                found.setdefault(name, path)
        break
    return found
