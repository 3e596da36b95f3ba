"""A remote file as Python's file object, for readers that want one."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from fasthep_parsl.storage.base import RemoteFile

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class FileObject(io.RawIOBase):
    """A remote file that is read at its position. It closes the file when it is closed."""

    def __init__(self, file: RemoteFile) -> None:
        super().__init__()
        self._file = file
        self._position = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move the position."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._file.size}[whence]
        self._position = max(base + offset, 0)
        return self._position

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill a buffer; return the number of bytes."""
        target = memoryview(buffer).cast("B")
        found = self._file.read(self._position, len(target))
        target[: len(found)] = found
        self._position += len(found)
        return len(found)

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            self._file.close()
        super().close()
