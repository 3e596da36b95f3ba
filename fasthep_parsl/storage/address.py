"""URLs of files: which client opens them, and how messages show them."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit, urlunsplit

XROOTD = ("root", "roots", "xroot", "xroots")
"""Schemes that the XRootD client opens. The client itself knows all of them."""
WEB = {"https": "https", "http": "http", "davs": "https", "dav": "http"}
"""Schemes of WebDAV and HTTP → what is spoken."""
PELICAN = ("osdf", "pelican")
"""Schemes of federations of caches."""
FILE = "file://"
SCHEMES = (*XROOTD, *WEB, *PELICAN, "file")


def scheme_of(path: str) -> str:
    """Return the scheme of a URL in lower case, empty for a path."""
    head, colon, _ = path.partition("://")
    return head.lower() if colon else ""


def is_remote(path: str) -> bool:
    """Return whether a path is a URL that this package opens over the network."""
    return scheme_of(path) in (*XROOTD, *WEB, *PELICAN)


def local_path(path: str) -> str:
    """Return the path in a URL of a local file, ``file:///data/a.root``; other paths and URLs as they are."""
    return unquote(urlsplit(path).path) if path.startswith(FILE) else path


def shown(url: str) -> str:
    """Return a URL for messages: without the query and a password, either of which may contain a secret."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    return urlunsplit((parts.scheme, f"{user.partition(':')[0]}{at}{host}", parts.path, "", ""))


def with_user(url: str, user: str) -> str:
    """Return a URL with a name of the user, ``root://user@host``. One that the URL has stays."""
    head, separator, rest = url.partition("://")
    place = rest.partition("/")[0]
    return url if not user or "@" in place else f"{head}{separator}{user}@{rest}"
