"""Paths and URLs of files, and whether two of them are the same file."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://")
_PORTS = {
    **dict.fromkeys(("root", "xroot", "roots", "xroots"), ":1094"),
    **dict.fromkeys(("http", "dav"), ":80"),
    **dict.fromkeys(("https", "davs"), ":443"),
}
SCHEMES = (*_PORTS, "osdf", "pelican", "file")
"""Schemes of URLs that are read."""


def is_url(path: str) -> bool:
    """Return whether `path` is a URL (``root://…``, ``https://…``)."""
    return _URL.match(path) is not None


def wrong_with_url(text: str) -> str:
    """Return why `text` cannot be a URL; empty for URLs that can be read, and for paths."""
    try:
        urlsplit(text if is_url(text) else "")
    except ValueError as error:  # brackets that are no IPv6 address, letters that look like a part of an address
        return str(error)
    return ""


def local_path(text: str) -> str | None:
    """Return `text` as a path on this machine, None if it is the URL of a server."""
    if not is_url(text):
        return text
    parts = urlsplit(text)
    if parts.scheme.lower() != "file" or parts.netloc not in ("", "localhost"):
        return None
    return unquote(text.partition("://")[2].removeprefix(parts.netloc))


def identity(path: str) -> tuple[object, ...]:
    """Return a value that is equal for two names of the same file.

    For files these are device and inode, so that links are found, and also size and time, because inodes of some network
    file systems are not unique. For URLs, the case of the host, the default port and double slashes do not matter.
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


def server_of(place: str) -> str:
    """Return the server of a URL, such as ``root://host:1095``, without its default port; empty for local paths."""
    if local_path(place) is not None:
        return ""
    parts = urlsplit(place)
    scheme = parts.scheme.lower()
    return f"{scheme}://{parts.netloc.rpartition('@')[2].lower().removesuffix(_PORTS.get(scheme, chr(0)))}"
