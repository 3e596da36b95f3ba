"""Places of one input file: replicas that a workflow lists, and a logical name below each prefix of a site."""

from __future__ import annotations

import glob
import os.path
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from fasthep_parsl.errors import Hint, Problem
from fasthep_parsl.names import harmful
from fasthep_parsl.workflow.locations import identity, is_url, local_path
from fasthep_parsl.workflow.storage_model import LOGICAL, FileReplicas
from fasthep_parsl.workflow.yamldoc import Document, KeyPath, problem

CMS = "/store/"
"""Logical names of CMS begin like this, also without a marker."""
_ABSOLUTE = ("root", "roots", "xroot", "xroots")
"""Schemes in which the path begins with a second slash."""


@dataclass
class PlaceFinder:
    """Finds the places of files.

    Attributes
    ----------
    document : Document
        The workflow; local paths are relative to the file that has them.
    prefixes : tuple of str
        Where logical names are.
    problems : list of Problem
        What is wrong, added to.
    """

    document: Document
    prefixes: tuple[str, ...] = ()
    problems: list[Problem] = field(default_factory=list)

    def is_logical(self, text: str) -> bool:
        """Return whether `text` is a logical name. A local file with the name of CMS is that file."""
        if text.startswith(LOGICAL):
            return True
        return text.startswith(CMS) and bool(self.prefixes) and not glob.has_magic(text) and not Path(text).exists()

    def logical(self, text: str, key: KeyPath) -> tuple[str, ...]:
        """Return the places of a logical name, none after a problem."""
        name = text.removeprefix(LOGICAL)
        if not self.prefixes:
            hint = "set `execution.storage.prefixes: [root://host/]` in the workflow or the site, or write a URL"
            return self._refuse(key, "E138", f"`{text}` is a logical name, and no prefix is known", hint)
        if is_url(name) or not name.strip("/"):
            return self._refuse(
                key, "E138", f"`{text}` has no logical name", "write `lfn:/store/…`, or a URL without `lfn:`"
            )
        if glob.has_magic(name):
            return self._no_pattern(text, key)
        return tuple(dict.fromkeys(joined(prefix, name) for prefix in self.prefixes))

    def single(self, text: str, key: KeyPath) -> tuple[str, ...]:
        """Return the places of a logical name that is a file of its own, none after a problem."""
        return self._there(self.logical(text, key), text, key)

    def replicas(self, entry: FileReplicas, key: KeyPath) -> tuple[str, ...]:
        """Return the places of a file with replicas, none after a problem."""
        before = len(self.problems)
        found: dict[tuple[object, ...], str] = {}
        for number, text in enumerate(entry.any):
            at: KeyPath = (*key, "any", number)
            for place in self.logical(text, at) if self.is_logical(text) else self._place(text, at):
                other = found.setdefault(identity(place), place)
                if other is not place:
                    message = f"`{text}` is twice in this list" + (f", as `{other}`" if other != text else "")
                    self._refuse(at, "E133", message, "remove one of them")
        places = tuple(found.values())
        return self._there(places, entry.any[0], (*key, "any")) if len(self.problems) == before else ()

    def _there(self, places: tuple[str, ...], text: str, key: KeyPath) -> tuple[str, ...]:
        """Return places unless all of them are local and missing."""
        if not places or any(is_url(place) or Path(place).is_file() for place in places):
            return places
        message = f"no such file: `{text}`" + (", nor any of its replicas" if len(places) > 1 else "")
        return self._refuse(key, "E132", message, f"searched {Path(places[0]).parent}")

    def _place(self, text: str, key: KeyPath) -> tuple[str, ...]:
        local = local_path(text)
        if local is None:
            return self._no_pattern(text, key) if "*" in urlsplit(text).path else (text,)
        wanted = Path(local).expanduser()
        full = wanted if wanted.is_absolute() else self.document.folder_of(key) / wanted
        normal = Path(os.path.normpath(full))
        if normal.is_file() and harmful(str(normal)):
            message = f"the path of `{ascii(normal.name)[1:-1]}` has a control character or is not UTF-8"
            return self._refuse(key, "E132", message, "rename it, or link to it under another name")
        if normal.is_dir():
            return self._refuse(
                key, "E132", f"`{text}` is a folder", "name one file: these are places of the same file"
            )
        if glob.has_magic(str(full)) and not normal.is_file():
            return self._no_pattern(text, key)
        return (str(normal),)

    def _no_pattern(self, text: str, key: KeyPath) -> tuple[str, ...]:
        hint = "name each file; patterns are only for files of this machine that have one place"
        return self._refuse(key, "E138", f"`{text}` is a pattern, but names one file", hint)

    def _refuse(self, key: KeyPath, code: str, message: str, hint: Hint) -> tuple[str, ...]:
        self.problems.append(problem(self.document, key, code, message, hint))
        return ()


def joined(prefix: str, name: str) -> str:
    """Return the place of a logical name below a prefix.

    In URLs of XRootD an absolute path begins with a second slash: ``root://host/`` and ``/store/a`` are
    ``root://host//store/a``.
    """
    name = name.lstrip("/")
    local = local_path(prefix)
    if local is not None:
        return os.path.normpath(f"{Path(local).expanduser()}/{name}")
    scheme, _, rest = prefix.partition("://")
    host, _, folder = rest.partition("/")
    folder = folder.rstrip("/")
    if folder:
        return f"{scheme}://{host}/{folder}/{name}"
    return f"{scheme}://{host}//{name}" if scheme.lower() in _ABSOLUTE else f"{scheme}://{host}/{name}"
