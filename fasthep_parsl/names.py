"""Names that people give: which may become files as they are, and what all others become."""

from __future__ import annotations

import hashlib
import re
import unicodedata

LONGEST = 100
"""Bytes of a name that must do as it is; a file's name has 255, and more than one name may stand in it."""
LONGEST_FILE = 180
"""Bytes of what `file_name` returns; names of datasets in catalogues have 130 and more."""

_NAME = re.compile(r"[\w-][\w.-]*")
_OTHER = re.compile(r"[^\w.-]+")


def same_text(text: str) -> str:
    """Return `text` with accents composed: what looks equal is equal (macOS takes apart what it is given)."""
    return unicodedata.normalize("NFC", text)


def wrong_with(name: str) -> str:
    """Return what forbids `name` as the name of a file or folder, empty if nothing does."""
    if name.startswith("."):
        return "a name does not begin with `.`"
    if not _NAME.fullmatch(name):
        return "a name has letters, digits, `_`, `-` and `.` only"
    if len(name.encode()) > LONGEST:
        return f"a name has at most {LONGEST} bytes"
    return ""


def harmful(text: str) -> bool:
    """Return whether `text` has control characters, line breaks too, or bytes of a path that are no text."""
    return not text.isprintable() and any(unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} for char in text)


def file_name(text: str) -> str:
    """Return the name that `text` has as a file, and as a key in ROOT files.

    A name of letters, digits, ``_``, ``-`` and ``.`` stays as it is; outer ``/`` go, everything else becomes ``_``
    (``/SingleMuon/Run2018A-UL/NANOAOD`` is ``SingleMuon_Run2018A-UL_NANOAOD``). Too long a name is cut and gets a
    checksum. Two texts may have one such name: see `collision_key`.
    """
    name = _OTHER.sub("_", same_text(text).strip("/"))
    if name.startswith("."):
        name = f"_{name[1:]}"
    if len(name.encode()) > LONGEST_FILE:
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        head = name.encode()[: LONGEST_FILE - len(digest) - 1].decode(errors="ignore")
        name = f"{head}-{digest}"
    return name or "_"


def meant_name(text: str) -> str:
    """Return a name like `text` that does as it is, empty if there is none: ``Bad`` for ``../../Bad``."""
    name = file_name(text).strip("._")
    return "" if wrong_with(name) else name


def collision_key(text: str) -> str:
    """Return what is equal for two texts whose files are one where case does not count (macOS, Windows)."""
    return same_text(file_name(text).casefold())
