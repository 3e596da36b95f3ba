"""Proxies and tokens of the user: find them, read what they state, check them. No network; secrets are never kept."""

from fasthep_parsl.credential_files.credential_facts import (
    CredentialFacts,
    CredentialFault,
    CredentialFileError,
    CredentialProblem,
    NoCredentialError,
    time_text,
)
from fasthep_parsl.credential_files.current import current

__all__ = [
    "CredentialFacts",
    "CredentialFault",
    "CredentialFileError",
    "CredentialProblem",
    "NoCredentialError",
    "current",
    "time_text",
]
