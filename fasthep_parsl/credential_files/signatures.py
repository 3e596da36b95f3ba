"""Signature of a token: verified with the keys that its issuer publishes. It needs the network."""

from __future__ import annotations

import logging
import threading
from typing import Any

from fasthep_parsl.credential_files.credential_facts import CredentialProblem
from fasthep_parsl.errors import summary_of

TIME_LIMIT = 10.0
"""Most seconds to wait for an issuer."""


def check_signature(text: str, *, limit: float = TIME_LIMIT) -> tuple[tuple[CredentialProblem, ...], tuple[str, ...]]:
    """Return a problem if the signature of a token is wrong, and a warning if it cannot be verified.

    Parameters
    ----------
    text : str
        The token, without white space around it: `scitokens` does not accept a line break.
    limit : float
        Most seconds to wait for the issuer.
    """
    try:
        import jwt
        from scitokens import SciToken
        from scitokens.utils.errors import SciTokensException
    except ImportError:
        return (), ("the signature of the token is not verified: run `pip install 'fasthep-parsl[credentials]'`",)
    log = logging.getLogger("scitokens")
    if not log.handlers:
        log.addHandler(logging.NullHandler())  # else its messages go to the terminal
    found: list[BaseException | None] = []

    def ask() -> None:
        try:
            SciToken.deserialize(text)
            found.append(None)
        except Exception as error:  # noqa: BLE001  (the network fails in many ways)
            found.append(error)

    asking = threading.Thread(target=ask, name="token-signature", daemon=True)
    asking.start()
    asking.join(limit)
    if not found:
        return (), (f"the signature of the token is not verified: its issuer does not answer within {limit:g} s",)
    return _judged(found[0], jwt, SciTokensException)


def _judged(
    error: BaseException | None, jwt: Any, unusable: type[Exception]
) -> tuple[tuple[CredentialProblem, ...], tuple[str, ...]]:
    """Return what an answer means. Begin and end of life are checked elsewhere, with an allowance for clocks."""
    if error is None or isinstance(error, jwt.ImmatureSignatureError | jwt.ExpiredSignatureError):
        return (), ()
    answered = not isinstance(error, unusable) or not error.args or isinstance(error.args[0], unusable | str)
    if isinstance(error, jwt.InvalidTokenError | unusable) and answered:
        message = f"the signature of the token is not one of its issuer: {summary_of(error)}"
        return (CredentialProblem("signature", message, "get a new token"),), ()
    return (), (f"the signature of the token is not verified: {summary_of(error)}",)
