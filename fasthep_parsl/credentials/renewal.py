"""Renew a credential without its user: which command does it, and how it is run.

The commands ask nothing: they have no terminal and no input. Their output may be the new credential, so it is never shown
and never written to a log.
"""

from __future__ import annotations

import math
import os
import re
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from fasthep_parsl.atomic import write_private
from fasthep_parsl.credential_files import CredentialFacts
from fasthep_parsl.interfaces import Renewal

TIMEOUT = 120.0
"""Longest time of a command, seconds. VOMS servers are asked one after the other."""
LARGEST = 1_000_000
"""Most bytes that a command may print."""
SPARE = 60
"""Seconds by which a new credential should live longer than the old one; else it may be the same one."""
LONGEST_PROXY = 96
"""Most hours for which a proxy is requested. Servers shorten what they do not allow."""
MAX_MESSAGE = 200
"""Characters of a message that are kept."""
_SECRET = re.compile(r"[\w-]{10,}\.[\w-]{10,}\.[\w-]*|\b(?:hv[sb]|s)\.[\w-]{20,}|[\w+/=-]{48,}")
"""What may be a token, a token of a vault or a key."""
Which = Callable[[str], str | None]


# --- which command ---------------------------------------------------------------------------------------------------


def token_renewal(
    facts: CredentialFacts | None, environ: Mapping[str, str], which: Which, now: float, *, issuer: str = ""
) -> Renewal | None:
    """Return the command that renews a token, None if no program for it is set up.

    htgettoken needs the address of a vault in HTGETTOKENOPTS. oidc-token needs a running oidc-agent (OIDC_SOCK), with the
    account in OIDC_AGENT_ACCOUNT or one of the issuer of the token. Both return a cached token unless they are asked for
    one that lives longer.

    Parameters
    ----------
    facts : CredentialFacts or None
        The token of the user.
    environ : mapping
        Environment variables.
    which : callable
        Returns the path of a program, None if it is not installed.
    now : float
        Unix time, s.
    issuer : str
        URL of the issuer, if there is no token.
    """
    left = 0 if facts is None or math.isinf(facts.expires) else max(0, math.ceil(facts.expires - now))
    options = environ.get("HTGETTOKENOPTS", "").split()
    if any(re.match(r"-a|-s|--vaultserver|--optserver", option) for option in options) and which("htgettoken"):
        target = ("--outfile", str(facts.path)) if facts is not None and facts.path else ()
        return Renewal(("htgettoken", "--nooidc", f"--minsecs={left + SPARE}", *target))
    account = environ.get("OIDC_AGENT_ACCOUNT") or (facts.issuer if facts is not None else issuer)
    if environ.get("OIDC_SOCK") and account and which("oidc-token"):
        scopes = (f"--scope={' '.join(facts.scopes)}",) if facts is not None and facts.scopes else ()
        audience = (f"--aud={' '.join(facts.audience)}",) if facts is not None and facts.audience else ()
        return Renewal(("oidc-token", f"--time={left + SPARE}", *scopes, *audience, account), prints=True)
    return None


def proxy_renewal(
    facts: CredentialFacts | None, target: Path, vo: str, environ: Mapping[str, str], which: Which, now: float
) -> Renewal | None:
    """Return the command that renews a proxy, None if it needs a password or is not installed.

    Parameters
    ----------
    facts : CredentialFacts or None
        The proxy of the user.
    target : Path
        Its file.
    vo : str
        VO to ask for, ``cms`` or ``cms:/cms/Role=production``; empty: that of the proxy.
    environ, which, now
        See `token_renewal`.
    """
    if which("voms-proxy-init") is None or not _key_is_open(environ):
        return None
    if not vo and facts is not None and facts.vo:
        role = next((group for group in facts.scopes if "/Role=" in group), "")
        vo = f"{facts.vo}:{role}" if role else facts.vo
    left = 0.0 if facts is None or math.isinf(facts.expires) else max(0.0, facts.expires - now)
    hours = min(max(12, math.ceil(2 * left / 3600)), LONGEST_PROXY)
    asked = ("-voms", vo) if vo else ()
    return Renewal(("voms-proxy-init", "-rfc", *asked, "-valid", f"{hours}:00", "-out", str(target)))


def _key_is_open(environ: Mapping[str, str]) -> bool:
    """Return whether the key of the user's certificate can be used without a password."""
    path = Path(environ.get("X509_USER_KEY") or Path(environ.get("HOME", "~")).expanduser() / ".globus" / "userkey.pem")
    try:
        content = path.read_bytes()
    except OSError:
        return False
    return b"PRIVATE KEY-----" in content and b"ENCRYPTED" not in content


# --- run it ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a command has done.

    Attributes
    ----------
    output : bytes
        What it printed: perhaps a secret. It is not part of the repr.
    error : str
        Why it failed, empty if it did not. No secret.
    """

    output: bytes = field(default=b"", repr=False)
    error: str = ""


def attempt(
    renewal: Renewal, environ: Mapping[str, str], stopped: Callable[[], bool], timeout: float = TIMEOUT
) -> Attempt:
    """Run the command of a renewal, without a terminal. It and its children end before this function returns.

    Parameters
    ----------
    renewal : Renewal
        The command.
    environ : mapping
        Its environment variables.
    stopped : callable
        Whether to give up; asked twice per second.
    timeout : float
        Longest time, seconds.
    """
    name = renewal.command[0] if len(renewal.command) < 2 or renewal.command[1] != "-c" else renewal.shown.split()[0]
    try:
        process = subprocess.Popen(  # noqa: S603  (the user's command, or one of the list above)
            renewal.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environ),
            start_new_session=True,  # no terminal: it cannot ask, and Ctrl-C does not reach it
        )
    except OSError as error:
        return Attempt(error=f"{name}: {error.strerror}")
    try:
        output, said, why = _collect(process, stopped, time.monotonic() + timeout)
        if why == "time":
            return Attempt(error=f"{name}: no end after {timeout:.0f} s")
        if why:
            return Attempt(error=f"{name}: {why}")
        status = process.wait()
    finally:
        _end(process)
    if status:
        return Attempt(error=f"{name}: {last_line(said) or f'exit status {status}'}")
    return Attempt(output)


def last_line(said: bytes) -> str:
    """Return the last line of what a command said, without anything that may be a secret."""
    lines = [line.strip() for line in said.decode(errors="replace").splitlines() if line.strip()]
    return _SECRET.sub("…", lines[-1])[:MAX_MESSAGE] if lines else ""


def _collect(
    process: subprocess.Popen[bytes], stopped: Callable[[], bool], deadline: float
) -> tuple[bytes, bytes, str]:
    """Return what a command prints and says until it ends, and why it has to be ended; empty if it ended."""
    found = {process.stdout: b"", process.stderr: b""}
    with selectors.DefaultSelector() as ready:
        for pipe in found:
            if pipe is not None:
                ready.register(pipe, selectors.EVENT_READ)
        why = ""
        while ready.get_map() and not why:
            events = ready.select(0.5)
            for key, _ in events:
                part = os.read(key.fd, 65536)
                found[key.fileobj] += part  # type: ignore[index]
                if not part:
                    ready.unregister(key.fileobj)
            if stopped():
                why = "stopped"
            elif sum(map(len, found.values())) > LARGEST:
                why = f"it prints more than {LARGEST:,} bytes"
            elif time.monotonic() > deadline:
                why = "time"
            elif not events and process.poll() is not None:
                break  # a child keeps its output open
    return found[process.stdout], found[process.stderr], why


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a command and its children, if they run."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(1)
            break
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def replace_file(path: Path, content: bytes) -> None:
    """Replace the user's file, which other programs may read at this moment; a link stays one."""
    write_private(path.resolve(), content.strip() + b"\n")
