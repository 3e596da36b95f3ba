"""A credential of a run: the version that its workers have, and when to do something about it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fasthep_parsl.credential_files import CredentialFacts
from fasthep_parsl.driver import credential_schedule as schedule
from fasthep_parsl.interfaces import Credential, Inspection

Stamp = tuple[int, int, int]
NO_FILE: Stamp = (0, 0, 0)
"""Stamp of a file that does not exist."""


@dataclass
class KeptCredential:
    """A credential that is kept fresh.

    Attributes
    ----------
    kind : str
        Its kind.
    credential : Credential
        How to find and check it.
    facts : CredentialFacts or None
        What the version states that workers have; None if it states nothing.
    expires, since, due : float
        When it expires, when the run got it, when to renew it: Unix times, s.
    stamp : tuple of int
        Identifies the version of the user's file.
    failed : int
        Attempts to renew it that have failed, one after the other.
    suspected : bool
        Whether a server has refused it shortly before its end.
    told : str
        The last failure that was recorded for this version.
    """

    kind: str
    credential: Credential
    facts: CredentialFacts | None = None
    expires: float = math.inf
    since: float = 0.0
    due: float = math.inf
    stamp: Stamp = NO_FILE
    failed: int = 0
    suspected: bool = False
    told: str = ""

    def usable(self, now: float) -> bool:
        """Return whether it has not expired."""
        return not self.suspected and not schedule.is_over(now, self.expires)

    @property
    def owner(self) -> str:
        """What it is, and whose; empty if this is not known."""
        return self.facts.owner if self.facts is not None else ""

    def describe(self, now: float) -> str:
        """Return what it is, for people."""
        return self.facts.describe(now) if self.facts is not None else f"credential {self.kind}"

    def adopt(self, seen: Inspection, now: float) -> None:
        """Note that workers have this version now."""
        missing = seen.facts is None and bool(seen.problems)
        self.facts = seen.facts or self.facts
        self.expires = now if missing else seen.facts.expires if seen.facts is not None else math.inf
        self.since, self.due = now, schedule.due(now, self.expires)
        self.failed, self.suspected, self.told = 0, False, ""

    def look(self, now: float) -> Stamp:
        """Return what changes when the user's file is replaced."""
        facts = self.facts or self.credential.inspect(now).facts
        path = facts.path if facts is not None else None
        if path is None:
            return NO_FILE
        try:
            found = path.stat()
        except OSError:
            return NO_FILE
        return found.st_mtime_ns, found.st_ino, found.st_size
