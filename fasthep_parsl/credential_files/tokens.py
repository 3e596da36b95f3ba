"""Bearer tokens: where WLCG's discovery finds them, and what they state."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fasthep_parsl.credential_files.credential_facts import CredentialFacts, CredentialFileError, CredentialProblem
from fasthep_parsl.credential_files.private_files import read_file

SPACE = " \t\n\v\f\r"
"""What WLCG's discovery strips."""
ENVIRONMENT = "BEARER_TOKEN"
FILE_VARIABLE = "BEARER_TOKEN_FILE"
RUNTIME_DIR = "XDG_RUNTIME_DIR"


def default_places(environ: Mapping[str, str]) -> tuple[tuple[Path, str], ...]:
    """Return the files in which WLCG's discovery looks, in its order, each with the name of the place."""
    named = environ.get(FILE_VARIABLE, "").strip(SPACE)
    folder = environ.get(RUNTIME_DIR, "")
    name = f"bt_u{os.geteuid()}"
    last = (Path(folder) / name, RUNTIME_DIR) if folder else (Path("/tmp") / name, "/tmp")  # noqa: S108 - the standard
    return ((Path(named), FILE_VARIABLE), last) if named else (last,)


def find_token(environ: Mapping[str, str]) -> tuple[Path | None, str]:
    """Return the file of the token and the place that names it, by WLCG's bearer token discovery.

    The order is: the value of BEARER_TOKEN, the file in BEARER_TOKEN_FILE, then ``bt_u<uid>`` in XDG_RUNTIME_DIR if
    that variable is set, else in ``/tmp``. An empty value or file is the next step. The first file that is named or
    exists is the token, also if it cannot be read.

    Returns
    -------
    tuple
        File, and place: ``BEARER_TOKEN`` (without a file), ``BEARER_TOKEN_FILE``, ``XDG_RUNTIME_DIR``, ``/tmp``, or
        empty if there is no token.
    """
    if environ.get(ENVIRONMENT, "").strip(SPACE):
        return None, ENVIRONMENT
    for path, place in default_places(environ):
        if _is_empty(path) or (place != FILE_VARIABLE and not os.path.lexists(path)):
            continue
        return path, place
    return None, ""


def _is_empty(path: Path) -> bool:
    try:
        return path.is_file() and not read_file(path, "token").strip(SPACE.encode())
    except (OSError, CredentialFileError):
        return False


def token_text(content: bytes) -> str:
    """Return a token without the white space around it.

    Raises
    ------
    CredentialFileError
        It is empty, or has characters that no token has.
    """
    try:
        text = content.decode("ascii").strip(SPACE)
    except UnicodeDecodeError:
        text = "\0"
    if not text:
        raise CredentialFileError(CredentialProblem("missing", "the token is empty"))
    if not text.isprintable() or " " in text:
        raise CredentialFileError(CredentialProblem("unreadable", "it is not a token: it has other characters"))
    return text


def read_token(content: bytes) -> CredentialFacts:
    """Return what a token states. Nothing is verified.

    Raises
    ------
    CredentialFileError
        It is not a JSON Web Token.
    """
    text = token_text(content)
    jwt = _library()
    try:
        header = jwt.get_unverified_header(text)
        claims = jwt.decode(text, options={"verify_signature": False})
        facts = _facts(claims)
    except (jwt.InvalidTokenError, ValueError, TypeError, json.JSONDecodeError):
        message = "it is not a JSON Web Token"
        raise CredentialFileError(CredentialProblem("unreadable", message)) from None
    if str(header.get("alg", "none")).lower() == "none":
        raise CredentialFileError(CredentialProblem("signature", "the token has no signature"))
    return facts


def _facts(claims: Mapping[str, Any]) -> CredentialFacts:
    audience = claims.get("aud", ())
    scope = claims.get("scope", claims.get("scp", ""))
    groups = claims.get("wlcg.groups", ())
    group = str(groups[0]) if isinstance(groups, list) and groups else ""
    return CredentialFacts(
        kind="token",
        subject=str(claims.get("sub", "")),
        issuer=str(claims.get("iss", "")),
        vo=group.strip("/").split("/")[0],
        scopes=tuple(scope.split() if isinstance(scope, str) else map(str, scope)),
        audience=(audience,) if isinstance(audience, str) else tuple(map(str, audience)),
        expires=float(claims.get("exp", math.inf)),
        not_before=float(claims.get("nbf", 0)),
    )


def _library() -> Any:
    try:
        import jwt
    except ImportError:
        message = "tokens cannot be read without the package `PyJWT`"
        hint = "run `pip install 'fasthep-parsl[credentials]'`"
        raise CredentialFileError(CredentialProblem("unreadable", message, hint)) from None
    return jwt
