"""Names of stages, pools and datasets as file names: check them, or convert them."""

from __future__ import annotations

import hashlib
import re
import unicodedata

LONGEST = 100
"""Most bytes of an id. File names have at most 255 bytes and may contain several ids."""
LONGEST_FILE = 180
"""Most bytes of a name from `file_name`. Names of datasets in catalogues have 130 bytes and more."""

_NAME = re.compile(r"[\w-][\w.-]*")
_OTHER = re.compile(r"[^\w.-]+")


def same_text(text: str) -> str:
    """Return `text` with composed accents, so that equal looks are equal texts (macOS decomposes file names)."""
    return unicodedata.normalize("NFC", text)


def wrong_with(name: str) -> str:
    """Return why `name` cannot be the name of a file or folder, empty if it can."""
    if name.startswith("."):
        return "a name must not begin with `.`"
    if not _NAME.fullmatch(name):
        return "a name may have letters, digits, `_`, `-` and `.` only"
    if len(name.encode()) > LONGEST:
        return f"a name may have at most {LONGEST} bytes"
    return ""


def harmful(text: str) -> bool:
    """Return whether `text` has control characters, line breaks, or bytes that are not UTF-8."""
    return not text.isprintable() and any(unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} for char in text)


def file_name(text: str) -> str:
    """Return `text` as a file name and as a key in ROOT files.

    Letters, digits, ``_``, ``-`` and ``.`` are kept. Outer ``/`` are removed, everything else becomes ``_``
    (``/SingleMuon/Run2018A-UL/NANOAOD`` is ``SingleMuon_Run2018A-UL_NANOAOD``). A name that is too long is cut and
    gets a checksum. Different texts may have the same file name; see `collision_key`.
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
    """Return a valid name similar to `text`, empty if there is none: ``Bad`` for ``../../Bad``."""
    name = file_name(text).strip("._")
    return "" if wrong_with(name) else name


def collision_key(text: str) -> str:
    """Return a key that is equal for texts with the same file name on case-insensitive file systems (macOS, Windows)."""
    return same_text(file_name(text).casefold())
