"""What a proxy or token states, and what can be wrong with it. Plain data without secrets."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fasthep_parsl.errors import FastHepError

CredentialFault = Literal[
    "missing",
    "expired",
    "not_yet_valid",
    "short",
    "mode",
    "owner",
    "vo",
    "scope",
    "audience",
    "issuer",
    "unreadable",
    "signature",
]
"""Why a credential does not suffice."""


@dataclass(frozen=True, slots=True)
class CredentialProblem:
    """Why a credential does not suffice.

    Attributes
    ----------
    cause : str
        For programs.
    message : str
        What is wrong, without the secret.
    hint : str
        What to do.
    """

    cause: CredentialFault
    message: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class CredentialFileError(FastHepError):
    """A proxy or token cannot be read.

    Parameters
    ----------
    problem : CredentialProblem
        Why, without the secret.
    """

    def __init__(self, problem: CredentialProblem) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return str(self.problem)


class NoCredentialError(CredentialFileError):
    """No variable and no file says that there is a credential.

    Parameters
    ----------
    problem : CredentialProblem
        Where it was looked for.
    """


@dataclass(frozen=True, slots=True)
class CredentialFacts:
    """What a proxy or token states. It contains no secret, so it may be shown, logged and pickled.

    Attributes
    ----------
    kind : "x509" or "token"
        What it is.
    path : Path or None
        Its file; None if it is the value of an environment variable.
    subject : str
        Of a proxy the distinguished name of the user, ``/DC=org/CN=Ada``; of a token its `sub`.
    issuer : str
        Of a proxy the distinguished name of the authority; of a token its `iss`.
    vo : str
        Virtual organisation; empty if it states none.
    scopes : tuple of str
        What a token permits, ``storage.read:/``; of a proxy the groups and roles of its VO.
    audience : tuple of str
        Servers for which a token is meant.
    expires : float
        End of its life, Unix time in s. Of a proxy the earliest end of its chain and of its VO attributes; infinity if
        a token states none.
    not_before : float
        Begin of its life, Unix time in s.
    vo_expires : float
        End of the VO attributes of a proxy, Unix time in s; infinity if it has none.
    """

    kind: Literal["x509", "token"]
    path: Path | None = None
    subject: str = ""
    issuer: str = ""
    vo: str = ""
    scopes: tuple[str, ...] = ()
    audience: tuple[str, ...] = ()
    expires: float = math.inf
    not_before: float = 0.0
    vo_expires: float = math.inf

    def describe(self, now: float) -> str:
        """Return one line for messages: who, and how long it lives.

        Parameters
        ----------
        now : float
            Unix time, s.
        """
        return f"{self.owner}, {self.life(now)}"

    @property
    def owner(self) -> str:
        """For whom it is: ``proxy of /DC=org/CN=Ada (VO cms)``, ``token of https://issuer (scope storage.read:/)``."""
        if self.kind == "x509":
            return f"proxy of {self.subject or 'nobody'}" + (f" (VO {self.vo})" if self.vo else " (no VO)")
        scope = f"scope {' '.join(self.scopes)}" if self.scopes else "no scope"
        return f"token of {self.issuer or 'an unknown issuer'} ({scope})"

    def life(self, now: float) -> str:
        """Return how long it lives: ``3 h 12 min left``, ``expired 5 min ago``."""
        if math.isinf(self.expires):
            return "no end of life"
        left = self.expires - now
        return f"{time_text(left)} left" if left > 0 else f"expired {time_text(-left)} ago"


def time_text(seconds: float) -> str:
    """Return a time with its two largest units: ``3 h 12 min``, ``2 d 4 h``, ``45 s``."""
    minutes, rest = divmod(int(seconds), 60)
    if not minutes:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    if not hours:
        return f"{minutes} min {rest} s" if minutes < 10 and rest else f"{minutes} min"
    days, hours = divmod(hours, 24)
    if not days:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{days} d {hours} h" if hours else f"{days} d"
