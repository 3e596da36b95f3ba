"""The folder of the user's cache: headers of input files, packed environments."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return ``$FASTHEP_PARSL_CACHE``, else the folder ``fasthep-parsl`` in ``$XDG_CACHE_HOME``, else in ``~/.cache``."""
    explicit = os.environ.get("FASTHEP_PARSL_CACHE")
    if explicit:
        return Path(explicit)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fasthep-parsl"
