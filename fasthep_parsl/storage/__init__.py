"""Remote files: open a URL with the right credential, read ranges of bytes, and say by the server's code what failed."""

from __future__ import annotations

from fasthep_parsl.storage.address import SCHEMES, is_remote, local_path, shown
from fasthep_parsl.storage.ahead import AheadFile
from fasthep_parsl.storage.base import Range, RemoteFile, StorageLimits
from fasthep_parsl.storage.file_object import FileObject
from fasthep_parsl.storage.opening import current_limits, limited, open_remote

__all__ = [
    "SCHEMES",
    "AheadFile",
    "FileObject",
    "Range",
    "RemoteFile",
    "StorageLimits",
    "current_limits",
    "is_remote",
    "limited",
    "local_path",
    "open_remote",
    "shown",
]
