"""Errors of remote files: what happened, with which credential, and what to do."""

from __future__ import annotations

import os
import time
from urllib.parse import urlsplit

from fasthep_parsl.credential_files import CredentialFacts, CredentialFileError, CredentialProblem, current
from fasthep_parsl.credential_files.private_files import file_problems, read_file
from fasthep_parsl.credential_files.proxies import find_proxy, read_proxy
from fasthep_parsl.credential_files.tokens import find_token, read_token
from fasthep_parsl.interfaces import InputFault, InputFileError
from fasthep_parsl.storage.address import shown
from fasthep_parsl.storage.faults import Fault
from fasthep_parsl.storage.login import AUTHORITIES

CLOCK_SKEW = 60.0
"""Seconds by which the clocks of this machine and of a server may differ."""
GET_ONE = (
    "run `voms-proxy-init`, or get a token, such as with `htgettoken`; `fasthep-parsl credentials` shows what is found"
)


def input_error(url: str, fault: Fault, doing: str = "it cannot be opened") -> InputFileError:
    """Return the error for the user.

    Parameters
    ----------
    url : str
        The file.
    fault : Fault
        What happened.
    doing : str
        What failed.
    """
    now = time.time()
    facts, problems = current(), local_problems(now)
    cause = _cause(fault, facts, problems)
    message = f"{doing}: {fault.text}"
    if cause in ("not_authenticated", "not_permitted"):
        message += f"; {_used(facts, problems, now)}"
    return InputFileError(shown(url), message, fault.hint or _hint(url, cause, facts, problems), cause=cause)


def _cause(fault: Fault, facts: tuple[CredentialFacts, ...], problems: tuple[CredentialProblem, ...]) -> InputFault:
    """Return the cause. Servers that let anyone connect say "permission denied" to those without a credential, too."""
    bad = sum(problem.cause in _UNUSABLE for problem in problems)
    refused = fault.cause == "not_permitted" or (fault.hung_up and bad)
    return "not_authenticated" if refused and len(facts) <= bad else fault.cause


_UNUSABLE = ("expired", "not_yet_valid", "mode", "owner")
"""Problems of a credential that can be read, with which clients or servers do not accept it."""


def local_problems(now: float) -> tuple[CredentialProblem, ...]:
    """Return what is wrong with the credentials of this process, as far as this machine can tell.

    The reason why a server accepts none of them is only in its own log.
    """
    path, place = find_token(os.environ)
    proxy = find_proxy(os.environ)
    found = list(_problems("token", now)) if path or place else []
    return (*found, *_problems("proxy", now)) if proxy else tuple(found)


def _problems(what: str, now: float) -> tuple[CredentialProblem, ...]:
    path = find_proxy(os.environ) if what == "proxy" else find_token(os.environ)[0]
    try:
        content = read_file(path, what) if path else os.environ["BEARER_TOKEN"].encode()
        facts = (read_proxy if what == "proxy" else read_token)(content)
    except CredentialFileError as error:
        return (error.problem,)
    found = list(file_problems(path, what)) if path else []
    if facts.expires < now + CLOCK_SKEW / 2:
        found.append(CredentialProblem("expired", f"the {what} is expired"))
    elif facts.not_before > now + CLOCK_SKEW:
        found.append(CredentialProblem("not_yet_valid", f"the {what} is not valid yet", "check the clock"))
    return tuple(found)


def _used(facts: tuple[CredentialFacts, ...], problems: tuple[CredentialProblem, ...], now: float) -> str:
    every = [item.describe(now) for item in facts]
    every += [problem.message for problem in problems if problem.cause not in ("expired", "not_yet_valid")]
    return f"used: {'; '.join(every)}" if every else "no credential was found"


def _hint(
    url: str, cause: InputFault, facts: tuple[CredentialFacts, ...], problems: tuple[CredentialProblem, ...]
) -> str:
    if cause == "not_authenticated":
        return _not_authenticated(facts, problems)
    if cause == "not_permitted":
        return _not_permitted(url, facts)
    if cause == "not_found":
        return "check the path"
    if cause == "unreachable":
        return "check the name of the host, or whether the server is down"
    if cause == "stalled":
        return "try again later, or name another place of the file"
    return "check the file on its server"


def _not_authenticated(facts: tuple[CredentialFacts, ...], problems: tuple[CredentialProblem, ...]) -> str:
    for problem in problems:
        if problem.hint:
            return problem.hint
    if not facts or problems:
        expired = next((item for item in facts if any(p.cause == "expired" for p in problems)), None)
        if expired is None or len({item.kind for item in facts}) > 1:
            return GET_ONE
        return "run `voms-proxy-init`" if expired.kind == "x509" else "get a new token, such as with `htgettoken`"
    if not os.environ.get(AUTHORITIES):
        return f"set {AUTHORITIES} to the folder with the certificates of the authorities"
    return "the server does not know the issuer of the credential, or its certificate cannot be trusted here"


def _not_permitted(url: str, facts: tuple[CredentialFacts, ...]) -> str:
    token = next((item for item in facts if item.kind == "token"), None)
    path = urlsplit(url).path.replace("//", "/", 1)
    if token is None:
        return "ask for access to this path, or use a proxy of the right VO: `voms-proxy-init --voms VO`"
    if not _covers(token, path):
        return f"use a token whose scope covers `{path}`"
    audience = f" (its audience is {', '.join(token.audience)})" if token.audience else ""
    return f"the token may be for another server{audience}, or its issuer has no access to this path"


def _covers(token: CredentialFacts, path: str) -> bool:
    """Return whether a scope permits to read a path, as WLCG and SciTokens write them: ``storage.read:/``, ``read:/``."""
    for scope in token.scopes:
        right, colon, below = scope.partition(":")
        base = below.rstrip("/")
        if right in ("storage.read", "storage.stage", "read") and (
            not colon or path == base or path.startswith(f"{base}/")
        ):
            return True
    return False
