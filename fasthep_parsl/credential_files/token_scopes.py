"""Scopes of tokens: whether what a token permits covers what a site demands. WLCG profile 1.2 and SciTokens 2.0."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from urllib.parse import unquote

_SCITOKENS = {"read": "storage.read", "write": "storage.modify"}
"""Operations of SciTokens → those of WLCG."""
_INCLUDED = {"storage.modify": ("storage.create",), "storage.stage": ("storage.read",)}
"""Operation of WLCG → operations that it includes."""


def covers(granted: Iterable[str], wanted: str) -> bool:
    """Return whether one of the scopes of a token permits all of `wanted`.

    ``storage.read:/a`` permits ``/a`` and all below, so ``storage.read:/a/b``, but not ``storage.read:/ab``. ``read:/``
    of SciTokens is ``storage.read:/``. Scopes that are not about storage must be equal.

    Parameters
    ----------
    granted : iterable of str
        Scopes of the token.
    wanted : str
        The scope that is demanded.
    """
    need = _storage(wanted)
    for scope in granted:
        if scope == wanted and need is None:
            return True
        have = _storage(scope)
        if have is None or need is None:
            continue
        same = have[0] == need[0] or need[0] in _INCLUDED.get(have[0], ())
        if same and _within(need[1], have[1]):
            return True
    return False


def _storage(scope: str) -> tuple[str, str] | None:
    """Return operation and path of a scope for storage, None if it is another scope or its path is not valid."""
    name, colon, path = scope.partition(":")
    operation = _SCITOKENS.get(name, name)
    if not operation.startswith("storage."):
        return None
    if not colon and name in _SCITOKENS:
        path = "/"  # SciTokens may leave out the path, WLCG demands it
    path = unquote(path)
    if not path.startswith("/") or ".." in path.split("/"):
        return None
    return operation, "/" + posixpath.normpath(path).strip("/")


def _within(path: str, folder: str) -> bool:
    return folder in ("/", path) or path.startswith(folder + "/")
