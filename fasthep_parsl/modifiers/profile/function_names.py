"""Short names of functions that are equal on every worker."""

from __future__ import annotations

from functools import lru_cache
from pathlib import PurePath
from types import CodeType

OTHER = "(other)"
"""Name of everything that is too small to be kept."""


@lru_cache(maxsize=10_000)
def short_file(path: str) -> str:
    """Return a path that starts at the package: installation folders differ between workers."""
    parts = PurePath(path).parts
    for marker in ("site-packages", "dist-packages"):
        if marker in parts:
            return "/".join(parts[parts.index(marker) + 1 :])
    if "fasthep_parsl" in parts:
        return "/".join(parts[parts.index("fasthep_parsl") :])
    if any(part.startswith("python3") for part in parts):  # the standard library
        start = next(i for i, part in enumerate(parts) if part.startswith("python3"))
        return "/".join(("python", *parts[start + 1 :]))
    return parts[-1] if parts else path


@lru_cache(maxsize=10_000)
def name_of(code: CodeType) -> str:
    """Return ``function (file:line)`` of a code object; the line is where the function begins."""
    name = f"{code.co_qualname.replace('.<locals>', '')} ({short_file(code.co_filename)}:{code.co_firstlineno})"
    return name.replace(";", ",")
