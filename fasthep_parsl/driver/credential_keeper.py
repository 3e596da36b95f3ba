"""Keep the credentials of a run fresh while it is open: renew them in time, and notice what the user renews.

One thread waits until something is due. A renewed credential is checked against the one before, and then written for the
workers, which read it again for each file. The scheduler asks whether one has expired, and is woken by a fresh one.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from fasthep_parsl import registry
from fasthep_parsl.credentials.renewal import attempt, replace_file
from fasthep_parsl.driver import credential_schedule as schedule
from fasthep_parsl.driver.kept_credential import NO_FILE, KeptCredential
from fasthep_parsl.errors import SiteError, summary_of
from fasthep_parsl.events import CredentialChanged, CredentialStateName, Record
from fasthep_parsl.interfaces import Credential, Renewal
from fasthep_parsl.plan import Plan, PlanCredential
from fasthep_parsl.setup_folder import SetupFolder

POLL = 15.0
"""Seconds between two looks at the user's files."""
POLL_WAITING = 1.0
"""The same while work waits for a fresh credential."""


def keeper(plan: Plan, run_dir: Path, record: Record) -> CredentialKeeper:
    """Return the keeper for a run. Call it before variables of this process name the copies of the run.

    The run works on copies in its directory. What is renewed is the user's own file, as found now.
    """
    credentials = {item.kind: _of_the_user(item) for item in plan.credentials}
    return CredentialKeeper(credentials, SetupFolder(run_dir), record)


def _of_the_user(item: PlanCredential) -> Credential:
    """Return a credential with the path of its file. `min_lifetime` is left out: it is for the start of a run."""
    kind = registry.load("credentials", item.kind)
    params = {name: value for name, value in item.params.items() if name != "min_lifetime"}
    credential: Credential = kind(**params)
    facts = credential.inspect(time.time()).facts
    if facts is not None and facts.path is not None and "path" in getattr(kind, "model_fields", ()):
        credential = kind(**{**params, "path": str(facts.path)})
    return credential


class CredentialKeeper:
    """Renews the credentials of a run; use it as a context manager, and call `start` when no process is forked any more.

    Parameters
    ----------
    credentials : mapping of str to Credential
        Kind → credential.
    folder : SetupFolder
        Where workers and this process find their copies.
    record : callable
        Writes an event to the run's event log.
    clock : callable
        Returns Unix time in s; tests replace it.
    """

    def __init__(
        self,
        credentials: Mapping[str, Credential],
        folder: SetupFolder,
        record: Record,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._kept = [KeptCredential(kind, credential) for kind, credential in credentials.items()]
        self._folder = folder
        self._record = record
        self._clock = clock
        self._changed: Callable[[], None] = lambda: None
        self._wake = threading.Condition()
        self._asked = self._stopped = False
        self._waiting = False
        self._lock = threading.Lock()  # of `_waiting`, and of what decides it
        self._thread: threading.Thread | None = None
        self.version = 0
        now = clock()
        for kept in self._kept:
            kept.adopt(kept.credential.inspect(now), now)
            kept.stamp = kept.look(now)

    def __enter__(self) -> Self:
        now = self._clock()
        for kept in self._kept:
            self._tell(kept, "valid", now)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._wake:
            self._stopped = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join()

    def start(self) -> None:
        """Start the thread, if there is something to keep."""
        if self._thread is None and self._kept:
            self._thread = threading.Thread(target=self._watch, name="credentials", daemon=True)
            self._thread.start()

    # --- what the scheduler asks ------------------------------------------------------------------------------------

    @property
    def usable(self) -> bool:
        """Whether no work has to wait for a fresh credential."""
        return not self._missing(self._clock())

    def _missing(self, now: float) -> list[KeptCredential]:
        """Return the credentials that work waits for.

        A required one that has expired is missing. Another one is only if the run has no good one left, or once a
        server refuses: who has a proxy for two days need not renew a token that nobody asks for.
        """
        good = any(kept.usable(now) for kept in self._kept)
        return [
            kept
            for kept in self._kept
            if not kept.usable(now) and (kept.suspected or kept.credential.required or not good)
        ]

    def suspect(self) -> bool:
        """Note that a server has refused a credential; return whether one is so near its end that it counts as expired."""
        now = self._clock()
        near = [kept for kept in self._kept if schedule.is_near_end(now, kept.since, kept.expires)]
        for kept in near:
            kept.suspected = True
            kept.due = now
        if near:
            self._ask()
        return bool(near)

    def hold(self) -> None:
        """Note that work waits for a fresh credential. May be called repeatedly."""
        now = self._clock()
        with self._lock:
            expired = [] if self._waiting else self._missing(now)
            self._waiting = self._waiting or bool(expired)
        for kept in expired:
            self._tell(kept, "expired", now)
        if expired:
            self.start()  # a run may begin without a task
            self._ask()

    def listen(self, changed: Callable[[], None]) -> None:
        """Call `changed` whenever a credential is replaced, from the thread."""
        self._changed = changed

    # --- the thread -------------------------------------------------------------------------------------------------

    def _ask(self) -> None:
        with self._wake:
            self._asked = True
            self._wake.notify()

    def _watch(self) -> None:
        while not self._stopped:
            wait = self.step()
            with self._wake:
                if not self._asked and not self._stopped:
                    self._wake.wait(wait)
                self._asked = False

    def step(self) -> float:
        """Do what is due; return for how many seconds nothing is."""
        for kept in self._kept:
            try:
                self._look(kept)
                if self._clock() >= kept.due and not self._stopped:
                    self._renew(kept)
            except Exception as error:  # noqa: BLE001  (the thread must go on; kinds may come from other packages)
                now = self._clock()
                kept.failed += 1
                kept.due = max(kept.due, schedule.retry(now, kept.expires, kept.failed))
                self._fail(kept, summary_of(error), now)
        now = self._clock()
        soonest = min((kept.due for kept in self._kept), default=math.inf) - now
        return max(min(soonest, POLL_WAITING if self._waiting else POLL), 0.0)

    def _look(self, kept: KeptCredential) -> None:
        """Take the user's file if it has changed."""
        now = self._clock()
        stamp = kept.look(now)
        if stamp in (kept.stamp, NO_FILE):  # a file that is being replaced is absent for a moment
            return
        kept.stamp = stamp
        why = self._take(kept)
        if why and why != schedule.NOT_LONGER:
            self._fail(kept, why, now)

    def _renew(self, kept: KeptCredential) -> None:
        """Let a program renew a credential, if there is one that does it without the user."""
        now = self._clock()
        renewal = kept.credential.renewal()
        if renewal is None:
            kept.due = (
                schedule.retry(now, kept.expires, kept.failed)
                if schedule.is_over(now, kept.expires)
                else (max(schedule.due(now, kept.expires), now + schedule.SOONEST))
            )
            if kept.told != "expiring" and kept.usable(now):
                kept.told = "expiring"
                self._tell(kept, "expiring", now)
            return
        why = self._run(kept, renewal)
        now = self._clock()
        if why and not self._stopped:
            kept.failed += 1
            kept.due = schedule.retry(now, kept.expires, kept.failed)
            self._fail(kept, why, now)

    def _run(self, kept: KeptCredential, renewal: Renewal) -> str:
        """Run a command, and take what it has made; return why that failed, else empty text."""
        done = attempt(renewal, _environ(kept), lambda: self._stopped)
        if done.error:
            return done.error
        now = self._clock()
        stamp = kept.look(now)
        if stamp == kept.stamp and renewal.prints and done.output.strip():
            seen = kept.credential.examine(done.output, now)
            why = schedule.objection(seen, kept.facts)
            if why:
                return f"{renewal.shown}: {why}"
            path = kept.facts.path if kept.facts is not None else None
            if path is None:
                return f"{renewal.shown}: the credential is the value of a variable; put it into a file to renew it"
            replace_file(path, done.output)
            stamp = kept.look(now)
        elif stamp == kept.stamp:
            return f"{renewal.shown}: it has not replaced the file"
        kept.stamp = stamp
        why = self._take(kept)
        return f"{renewal.shown}: {why}" if why else ""

    def _take(self, kept: KeptCredential) -> str:
        """Let the run use what is in the user's file now; return why it cannot be used, else empty text."""
        now = self._clock()
        seen = kept.credential.inspect(now)
        why = schedule.objection(seen, kept.facts)
        if why:
            return why
        try:
            kept.credential.prepare(self._folder)
        except SiteError as error:
            return str(error)
        with self._lock:
            kept.adopt(seen, now)
            self.version += 1
            restored = self._waiting and self.usable
            self._waiting = self._waiting and not restored
        self._tell(kept, "restored" if restored else "renewed", now)
        self._changed()
        return ""

    # --- events -----------------------------------------------------------------------------------------------------

    def _fail(self, kept: KeptCredential, why: str, now: float) -> None:
        """Record a failure, once if it repeats."""
        if kept.told != why:
            kept.told = why
            self._tell(kept, "not_renewed", now, why)

    def _tell(self, kept: KeptCredential, state: CredentialStateName, now: float, message: str = "") -> None:
        expires = 0.0 if math.isinf(kept.expires) else round(kept.expires, 3)
        advice = kept.credential.advice if state in ("expiring", "not_renewed", "expired") else ""
        text = message or kept.describe(now)
        self._record(
            CredentialChanged(
                credential=kept.kind, state=state, expires=expires, owner=kept.owner, message=text, advice=advice
            )
        )


def _environ(kept: KeptCredential) -> dict[str, str]:
    """Return the variables for a command: those of this process name the copies of the run, not the user's file."""
    path = kept.facts.path if kept.facts is not None else None
    own = kept.credential.variables(path) if path is not None else {}
    return {name: value for name, value in {**os.environ, **own}.items() if value}
