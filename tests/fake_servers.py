"""Fake servers of input files: URLs are local files, and each server has faults that a test chooses.

Nothing here is a network. ``root://host//folder/file.root`` is the file of the same name in the folder of the host.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fasthep_parsl.interfaces import InputFileError
from fasthep_parsl.sources import files

Fault = Callable[[str, str], str]
"""Called with the URL and ``open`` or ``read``; returns the cause of the fault, empty if there is none."""


def healthy(_url: str, _what: str) -> str:
    return ""


def always(cause: str, what: str = "open") -> Fault:
    """Return a fault of each `what` (``open`` or ``read``)."""
    return lambda _url, now: cause if now == what else ""


def seldom(seed: int, share: float, causes: tuple[str, ...]) -> Fault:
    """Return a fault of a share of the operations, always the same ones for a seed."""
    chance = random.Random(seed)
    return lambda _url, _what: chance.choice(causes) if chance.random() < share else ""


class FakeServers:
    """Servers by name, installed in place of `open_file`.

    Attributes
    ----------
    faults : dict
        Host → its fault.
    folders : dict
        Host → folder with its files.
    opened, read : Counter
        Host → number of attempts to open, to read.
    limits : list
        (host, retries) of each attempt to open.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.faults: dict[str, Fault] = {}
        self.folders: dict[str, Path] = {}
        self.opened: Counter[str] = Counter()
        self.read: Counter[str] = Counter()
        self.limits: list[tuple[str, int]] = []
        self._open = files.open_file

    def install(self, monkeypatch: Any) -> None:
        monkeypatch.setattr(files, "open_file", self.open)

    def check(self, url: str, what: str) -> None:
        host = urlsplit(url).netloc
        (self.opened if what == "open" else self.read)[host] += 1
        cause = self.faults.get(host, healthy)(url, what)
        if cause:
            raise InputFileError(url, f"{what} failed: {cause}", cause=cause)  # type: ignore[arg-type]

    def open(self, path: str, source: Any) -> Any:
        if "://" not in path:
            return self._open(path, source)
        parts = urlsplit(path)
        self.limits.append((parts.netloc, source.storage.retries))
        self.check(path, "open")
        local = self.folders.get(parts.netloc, self.folder) / Path(parts.path).name
        if not local.exists():
            raise InputFileError(path, "no such file", cause="not_found")
        return _Opened(self, path, self._open(str(local), source))


class _Opened:
    """An open file of a fake server."""

    def __init__(self, servers: FakeServers, url: str, inner: Any) -> None:
        self.servers, self.path, self.inner = servers, url, inner

    def read(self, columns: Any, start: int, stop: int) -> Any:
        found = self.inner.read(columns, start, stop)  # a fault comes when a part of the data was transferred
        self.servers.check(self.path, "read")
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)
