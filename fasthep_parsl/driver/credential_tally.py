"""Count the renewals and waits of the credentials of a run from its events."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from fasthep_parsl.events import CredentialChanged, Event, RunEnded, RunStarted

MAX_EXPIRIES = 100
"""Ends of life that are listed: a run of a week with tokens of an hour has more."""


@dataclass
class _Credential:
    description: str = ""
    renewed: int = 0
    not_renewed: int = 0
    expiries: list[str] = field(default_factory=list)
    waited: float = 0.0


class CredentialTally:
    """Sums over events of credentials; call it with each event."""

    def __init__(self) -> None:
        self._found: dict[str, _Credential] = {}
        self._since: dict[str, datetime] = {}

    def __call__(self, event: Event) -> None:
        """Add an event; only those of credentials and of the run count."""
        if isinstance(event, RunStarted | RunEnded):
            for name in list(self._since):
                self._end_wait(name, event.when if isinstance(event, RunEnded) else None)
        if not isinstance(event, CredentialChanged):
            return
        found = self._found.setdefault(event.credential, _Credential())
        if event.state == "expired":
            self._since.setdefault(event.credential, event.when)
        elif event.state in ("valid", "renewed", "restored"):
            found.description = event.owner
            found.renewed += event.state != "valid"
            if event.expires:
                end = datetime.fromtimestamp(event.expires, UTC).isoformat(timespec="seconds")
                found.expiries = [*found.expiries, end.replace("+00:00", "Z")][-MAX_EXPIRIES:]
            self._end_wait(event.credential, event.when)
        elif event.state == "not_renewed":
            found.not_renewed += 1

    def _end_wait(self, name: str, end: datetime | None) -> None:
        """End a wait; `end` is None if a killed driver has not recorded it."""
        since = self._since.pop(name, None)
        if since is not None and end is not None:
            self._found[name].waited += (end - since).total_seconds()

    def summary(self) -> list[dict[str, Any]]:
        """Return the entry `credentials` of ``run.json``; times in seconds."""
        now = datetime.now(UTC)
        open_waits = {name: (now - since).total_seconds() for name, since in self._since.items()}
        return [
            {
                "kind": name,
                "description": found.description,
                "renewed": found.renewed,
                "not_renewed": found.not_renewed,
                "expiries": found.expiries,
                "waited": round(found.waited + open_waits.get(name, 0.0), 3),
            }
            for name, found in self._found.items()
        ]
