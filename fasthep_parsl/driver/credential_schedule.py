"""When a credential is renewed, when it counts as expired, and whether a new one may replace it. Pure."""

from __future__ import annotations

import math

from fasthep_parsl.credential_files import CredentialFacts
from fasthep_parsl.credential_files.token_scopes import covers
from fasthep_parsl.credentials.scitoken import ANY_AUDIENCE
from fasthep_parsl.interfaces import Inspection

MARGIN = 5.0
"""Seconds before its end from which a credential counts as expired: a task needs some time until it uses it."""
SKEW = 300.0
"""Seconds by which the clock of a server may be ahead of ours."""
SOONEST, LATEST = 5.0, 300.0
"""Shortest and longest time between two attempts to renew a credential, seconds."""
TOLERATED = ("short",)
"""Problems that a new credential may have: `min_lifetime` is for the start of a run."""
NOT_LONGER = "it does not live longer than the one before"
"""Objection to a credential that may be the same one."""


def due(now: float, expires: float) -> float:
    """Return when a credential is to be renewed: after half of the life that is left, infinity if it does not expire."""
    return now + max((expires - now) / 2, 0.0)


def retry(now: float, expires: float, failed: int) -> float:
    """Return when to try again after an attempt has failed.

    Four or more attempts fit into the life that is left. After its end they become rarer.

    Parameters
    ----------
    now, expires : float
        Unix times, s.
    failed : int
        Attempts that have failed, one after the other.
    """
    left = expires - now
    wait = left / 4 if left > MARGIN else SOONEST * 2.0 ** min(failed, 10)
    return now + min(max(wait, SOONEST), LATEST)


def is_over(now: float, expires: float) -> bool:
    """Return whether a credential counts as expired."""
    return expires - now <= MARGIN


def is_near_end(now: float, since: float, expires: float) -> bool:
    """Return whether a server with a fast clock may say that a credential has expired.

    It is not so in most of the life of a credential, however short that is: what a server then refuses, it refuses for
    another reason.

    Parameters
    ----------
    now, since, expires : float
        Unix times, s: now, when the run got the credential, and its end.
    """
    return expires - now <= max(MARGIN, min(SKEW, (expires - since) / 4))


def objection(new: Inspection, old: CredentialFacts | None) -> str:
    """Return why a credential may not replace the one that a run uses; empty if it may."""
    problems = [problem for problem in new.problems if problem.cause not in TOLERATED]
    if problems:
        return problems[0].message
    facts = new.facts
    if facts is None or old is None:
        return ""
    less = _less(facts, old)
    if less:
        return less
    if not math.isinf(facts.expires) and facts.expires <= old.expires:
        return NOT_LONGER
    return ""


def _less(new: CredentialFacts, old: CredentialFacts) -> str:
    """Return in what a credential is less than the one before; empty if it is not."""
    for what in ("subject", "issuer", "vo"):
        mine, theirs = getattr(old, what), getattr(new, what)
        if mine and mine != theirs:
            return f"its {what} is {theirs or 'not stated'}, and the run began with {mine}"
    lost = [scope for scope in old.scopes if not (covers(new.scopes, scope) or scope in new.scopes)]
    if lost:
        return f"it lacks {' '.join(lost)}, which the one before had"
    servers = [server for server in old.audience if server not in new.audience]
    if servers and not set(ANY_AUDIENCE) & set(new.audience):
        return f"it is not for {', '.join(servers)}, which the one before was for"
    return ""
