"""Remote files: open a URL with the right credential, read ranges of bytes, and say by the server's code what failed."""

from __future__ import annotations

from fasthep_parsl.storage.base import Limits, Range, RemoteFile

__all__ = ["Limits", "Range", "RemoteFile"]
