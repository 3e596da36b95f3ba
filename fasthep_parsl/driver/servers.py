"""Servers of input files in a run: which ones all workers avoid, and what the summary says about them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from fasthep_parsl.events import Event, RunStarted, ServerChanged, TaskFinished
from fasthep_parsl.plan import Plan
from fasthep_parsl.sources.server_health import LOCAL, PASSING, too_many_bad
from fasthep_parsl.tasks import ServerUse


class Avoidance:
    """Servers whose places all workers try last. It decides from what workers report.

    Parameters
    ----------
    plan : Plan
        The plan. Servers that did not answer when its headers were read are avoided from the start.
    """

    def __init__(self, plan: Plan) -> None:
        self._avoided: dict[str, str] = {}
        self._planned = dict(plan.source.storage.avoid)
        self._bad: defaultdict[str, set[str]] = defaultdict(set)
        self._files: Counter[str] = Counter()

    @property
    def servers(self) -> dict[str, str]:
        """The servers, and why, for the next tasks."""
        return dict(self._avoided)

    def begin(self) -> list[ServerChanged]:
        """Return the events of servers that are avoided from the start."""
        return [self._avoid(server, "unreachable", message) for server, message in self._planned.items()]

    def add(self, storage: Mapping[str, ServerUse]) -> list[ServerChanged]:
        """Add what a task reports; return what changes with it."""
        changes: list[ServerChanged] = []
        for server, use in storage.items():
            if not server:
                continue
            self._files[server] += use.files
            new = set(use.bad) - self._bad[server]
            self._bad[server] |= new
            if use.works and self._avoided.get(server) in PASSING:
                cause = self._avoided.pop(server)
                self._planned.pop(server, None)
                changes.append(ServerChanged(server=server, state="used", cause=cause))
            elif server in self._avoided:
                continue
            elif use.avoid:
                changes.append(self._avoid(server, use.avoid, use.message))
            elif new and too_many_bad(len(self._bad[server]), self._files[server] + len(self._bad[server])):
                cause = next((cause for cause in use.failures), "corrupt")
                changes.append(self._avoid(server, cause, use.message))
        return changes

    def _avoid(self, server: str, cause: str, message: str) -> ServerChanged:
        self._avoided[server] = cause
        return ServerChanged(server=server, state="avoided", cause=cause, message=message)


class ServerTally:
    """What was done with each server, from the events of a run; call it with each event."""

    def __init__(self) -> None:
        self._files: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        self._seconds: Counter[str] = Counter()
        self._failures: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._avoided: dict[str, ServerChanged] = {}

    def __call__(self, event: Event) -> None:
        """Add an event. A run that is resumed tries all servers again."""
        if isinstance(event, RunStarted):
            self._avoided.clear()
        elif isinstance(event, ServerChanged):
            if event.state == "avoided":
                self._avoided[event.server] = event
            else:
                self._avoided.pop(event.server, None)
        elif isinstance(event, TaskFinished):
            for server, use in event.storage.items():
                self._files[server] += use.files
                self._bytes[server] += use.bytes
                self._seconds[server] += use.seconds  # type: ignore[assignment]
                self._failures[server].update(use.failures)

    def summary(self) -> list[dict[str, Any]]:
        """Return the entry `storage` of ``run.json``: the most used servers first."""
        names = dict.fromkeys((*self._files, *self._avoided))
        return [
            {
                "server": server or LOCAL,
                "files": self._files[server],
                "bytes": self._bytes[server],
                "wait_seconds": round(self._seconds[server], 3),
                "failures": dict(self._failures[server]),
                "avoided": self._why(server),
            }
            for server in sorted(names, key=lambda name: (-self._bytes[name], name))
        ]

    def _why(self, server: str) -> dict[str, str] | None:
        event = self._avoided.get(server)
        return {"since": event.time, "cause": event.cause, "message": event.message} if event is not None else None

    def warnings(self) -> list[str]:
        """Return a line for each server that is avoided at the end."""
        return [
            f"{server} was avoided ({event.cause.replace('_', ' ')}: {event.message or 'other servers are faster'});"
            f" its files were read from other places"
            for server, event in self._avoided.items()
        ]
