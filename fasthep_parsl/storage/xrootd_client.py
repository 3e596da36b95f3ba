"""The XRootD client of this process: load it with settings that end, and keep track of its connections."""

from __future__ import annotations

import itertools
import math
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from fasthep_parsl.storage.base import StorageLimits
from fasthep_parsl.storage.login import current_login

_FORK_HANDLER = "XRD_RUNFORKHANDLER"
PROTOCOL = "XrdSecPROTOCOL"
"""The protocol of authentication that the client uses, in place of the first one that works."""
_LOCK = threading.Lock()


class _Loaded:
    client: Any = None
    limits: StorageLimits | None = None


def load(limits: StorageLimits) -> Any:
    """Return the module of the client.

    Raises
    ------
    ImportError
        It is not installed.
    """
    if _Loaded.limits != limits:
        with _LOCK:
            _Loaded.client = _Loaded.client or _load()
            _limit(_Loaded.client, limits)
            _Loaded.limits = limits
    return _Loaded.client


def _load() -> Any:
    current_login()  # the client keeps what the variables of TLS and GSI are at its first connection
    before = os.environ.get(_FORK_HANDLER)
    os.environ.setdefault(_FORK_HANDLER, "0")  # its handler can wait for ever in fork(); nothing here forks with it
    try:
        from XRootD import client
    finally:
        if before is None:
            del os.environ[_FORK_HANDLER]
    return client


def _limit(client: Any, limits: StorageLimits) -> None:
    """Let the client give up in time. A server that stops in the middle of an answer ends only by `StreamTimeout`."""
    longest = math.ceil(max(limits.open_timeout, limits.read_timeout))
    settings = {
        "TimeoutResolution": 1,  # s; 15 by default, which is added to every time-out
        "ConnectionWindow": math.ceil(limits.open_timeout),
        "ConnectionRetry": 1,  # `retries.repeated` repeats
        "StreamErrorWindow": 1,  # 1800 by default: so long, a server that was down is not tried again
        "RequestTimeout": longest,
        "StreamTimeout": longest,
    }
    for name, value in settings.items():
        if f"XRD_{name.upper()}" not in os.environ:  # the user's word is final
            client.EnvPutInt(name, value)


_STALLED: set[str] = set()
"""Servers that have stopped in the middle of an answer to this process."""
_NUMBERS = itertools.count(1)


def note_stall(url: str) -> None:
    """Note that the server of a URL has stopped in the middle of an answer: its connections are not trusted any more."""
    _STALLED.add(urlsplit(url).netloc)


def connection_name(url: str, tag: str) -> str:
    """Return the name of the connection for a file: `tag`, or another one for each file if its server has stalled.

    Files of one name share a connection. If it stalls, all of them wait until the time limit.
    """
    return f"{tag}{next(_NUMBERS)}" if urlsplit(url).netloc in _STALLED else tag


class _Opening:
    """Opens of this process, which may run side by side, unless one needs another protocol of authentication."""

    changed = threading.Condition()
    running = 0
    alone = False


@contextmanager
def opening(protocol: str = "") -> Iterator[None]:
    """Open in this block. With `protocol`, such as ``gsi``, new connections use only this one.

    The client reads it from a variable of the process, so that no other open may run meanwhile.
    """
    with _Opening.changed:
        while _Opening.alone or (protocol and _Opening.running):
            _Opening.changed.wait()
        _Opening.running += 1
        _Opening.alone = bool(protocol)
    before = os.environ.get(PROTOCOL)
    if protocol:
        os.environ[PROTOCOL] = protocol
    try:
        yield
    finally:
        if protocol:
            if before is None:
                del os.environ[PROTOCOL]
            else:
                os.environ[PROTOCOL] = before
        with _Opening.changed:
            _Opening.running -= 1
            _Opening.alone = False
            _Opening.changed.notify_all()
