"""The credentials that clients in this process use, for error messages."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from fasthep_parsl.credential_files.credential_facts import CredentialFacts, CredentialFileError
from fasthep_parsl.credential_files.private_files import read_file
from fasthep_parsl.credential_files.proxies import find_proxy, read_proxy
from fasthep_parsl.credential_files.tokens import ENVIRONMENT, find_token, read_token

_READERS: dict[str, Callable[[bytes], CredentialFacts]] = {"proxy": read_proxy, "token": read_token}


def current(environ: Mapping[str, str] | None = None) -> tuple[CredentialFacts, ...]:
    """Return what the token and the proxy of this process state, the token first, as clients prefer it.

    Credentials that are missing or cannot be read are left out. It raises nothing, and reads a file again only if it
    has changed.

    Parameters
    ----------
    environ : mapping, optional
        Environment variables; default: those of this process.
    """
    variables = os.environ if environ is None else environ
    path, place = find_token(variables)
    proxy = find_proxy(variables)
    found = [_named(path, "token") if path else _value(variables) if place else None]
    found.append(_named(proxy, "proxy") if proxy else None)
    return tuple(item for item in found if item is not None)


def _value(environ: Mapping[str, str]) -> CredentialFacts | None:
    try:
        return read_token(environ[ENVIRONMENT].encode())
    except CredentialFileError:
        return None


def _named(path: Path, what: str) -> CredentialFacts | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return _read(path, what, stat.st_mtime_ns, stat.st_ino, stat.st_size)


@lru_cache(maxsize=16)
def _read(path: Path, what: str, *_version: int) -> CredentialFacts | None:
    try:
        return replace(_READERS[what](read_file(path, what)), path=path)
    except CredentialFileError:
        return None
