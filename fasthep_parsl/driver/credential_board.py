"""Lines about the credentials of a run: renewed, about to expire, and what to do if work waits for a fresh one."""

from __future__ import annotations

import time

from fasthep_parsl.events import CredentialChanged, Event


class CredentialBoard:
    """States of the credentials of a run, from its events."""

    def __init__(self) -> None:
        self._waiting: dict[str, str] = {}

    def add(self, event: Event) -> str:
        """Add an event; return a line if it is news for the user, else ``""``."""
        if not isinstance(event, CredentialChanged):
            return ""
        name = f"credential {event.credential}"
        advice = f": {event.advice}" if event.advice else ""
        if event.state == "expired":
            self._waiting[event.credential] = line = f"{name} has expired, new work waits{advice}"
            return line
        if event.state in ("renewed", "restored"):
            self._waiting.pop(event.credential, None)
            more = ", the run continues" if event.state == "restored" else ""
            return f"{name}: renewed, {_until(event.expires)}{more}"
        if event.state == "expiring":
            return f"{name} is {_until(event.expires)}, and cannot be renewed automatically{advice}"
        return f"{name} was not renewed: {event.message}" if event.state == "not_renewed" else ""

    def waiting(self) -> list[str]:
        """Return a line for each credential that work waits for."""
        return list(self._waiting.values())


def _until(expires: float) -> str:
    if not expires:
        return "valid without end"
    today = time.localtime()[:3] == time.localtime(expires)[:3]
    return time.strftime("valid until %H:%M" if today else "valid until %Y-%m-%d %H:%M", time.localtime(expires))
