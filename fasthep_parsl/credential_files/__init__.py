"""Proxies and tokens of the user: find them, read what they state, check them. No network; secrets are never kept."""

from fasthep_parsl.credential_files.current import current
from fasthep_parsl.credential_files.facts import (
    CredentialFacts,
    CredentialFileError,
    CredentialProblem,
    NoCredentialError,
    Reason,
    time_text,
)

__all__ = [
    "CredentialFacts",
    "CredentialFileError",
    "CredentialProblem",
    "NoCredentialError",
    "Reason",
    "current",
    "time_text",
]
