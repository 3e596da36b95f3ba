"""Hashes of contents."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from fasthep_parsl.plan import PlanCode


def sha256(content: bytes) -> str:
    """Return the hex digest of `content`."""
    return hashlib.sha256(content).hexdigest()


def digest(files: Iterable[PlanCode]) -> str:
    """Return a hash of the names and contents of files."""
    listed = sorted((file.name, file.sha256) for file in files)
    return sha256("\n".join(f"{hashed} {name}" for name, hashed in listed).encode())
