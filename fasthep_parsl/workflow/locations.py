"""Where files are: paths of this machine and URLs, and when two of them mean one file."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://")
_PORTS = {"root": ":1094", "xroot": ":1094", "roots": ":1094", "http": ":80", "https": ":443", "davs": ":443"}


def is_url(path: str) -> bool:
    """Return whether `path` is a URL (``root://…``, ``https://…``)."""
    return _URL.match(path) is not None


def local_path(text: str) -> str | None:
    """Return the path that `text` means on this machine, None if it is the URL of a server."""
    if not is_url(text):
        return text
    parts = urlsplit(text)
    if parts.scheme.lower() != "file" or parts.netloc not in ("", "localhost"):
        return None
    return unquote(text.partition("://")[2].removeprefix(parts.netloc))


def identity(path: str) -> tuple[object, ...]:
    """Return what two names of one file have in common.

    Links to a file have its device and inode; size and time are compared as well, because some network file systems
    give inodes that are not unique. Of URLs, the host's case, the usual port and double slashes do not matter.
    """
    if is_url(path):
        parts = urlsplit(path)
        host = parts.netloc.lower().removesuffix(_PORTS.get(parts.scheme.lower(), "\0"))
        return parts.scheme.lower(), host, re.sub("/+", "/", parts.path), parts.query
    try:
        found = Path(path).stat()
    except OSError:
        return (path,)
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns) if found.st_ino else (path,)
