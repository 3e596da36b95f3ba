"""Write and read compressed archives: blocks that are compressed independently, on all CPUs.

A file is a sequence of zstd frames or gzip members. ``zstd -d``, ``gzip -d`` and tar read it as one stream.
"""

from __future__ import annotations

import io
import os
import struct
import tarfile
import zlib
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Literal, Self

from fasthep_parsl.errors import SiteError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer
    from _typeshed import WriteableBuffer

Format = Literal["zst", "gz"]
BLOCK = 8 << 20
"""Size of a block before compression [bytes]."""
_ZSTD_LEVEL, _GZIP_LEVEL = 3, 5
_ZSTD_START, _GZIP_START = b"\x28\xb5\x2f\xfd", b"\x1f\x8b"
_RECORD = struct.Struct("100s8s8s8s12s12s8sc100s8s247x")
"""A header: name, mode, owner, group, size, time, checksum, type, target, format."""
_ROOT = b"%07o" % 0
_CHECKSUM = slice(148, 156)
_LONGEST, _OCTAL = 100, 8**11
_LONGEST_RAW, _LONGEST_STORED = 128 << 10, (1 << 16) - 1
"""Longest blocks without compression: of zstd (RFC 8878, 3.1.1.2) and of gzip (RFC 1951, 3.2.4)."""


def compressed(block: Buffer, form: Format) -> Buffer:
    """Return a block as one zstd frame or gzip member."""
    if form == "gz":
        packer = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, 31)
        return packer.compress(block) + packer.flush()
    import cramjam

    packed: Buffer = cramjam.zstd.compress(block, level=_ZSTD_LEVEL)
    return packed


def stored(data: bytes, form: Format) -> bytes:
    """Return data as one zstd frame or gzip member without compression: its size depends on the size of the data alone."""
    if form == "gz":
        parts = [_GZIP_START + b"\x08" + bytes(6) + b"\xff"]
        for start in range(0, len(data), _LONGEST_STORED):
            block = data[start : start + _LONGEST_STORED]
            last = start + _LONGEST_STORED >= len(data)
            parts += [struct.pack("<BHH", last, len(block), len(block) ^ 0xFFFF), block]
        return b"".join([*parts, struct.pack("<II", zlib.crc32(data), len(data))])
    parts = [_ZSTD_START + b"\xa0" + struct.pack("<I", len(data))]  # one segment; its size has 4 bytes
    for start in range(0, len(data), _LONGEST_RAW):
        block = data[start : start + _LONGEST_RAW]
        last = start + _LONGEST_RAW >= len(data)
        parts += [(len(block) << 3 | last).to_bytes(3, "little"), block]
    return b"".join(parts)


class BlockWriter:
    """Compress a stream in blocks, in the order in which it is written.

    All CPUs compress, and one more thread writes: the caller waits for neither, as long as they keep up.

    Parameters
    ----------
    file : file
        Where the compressed blocks are written.
    form : {"zst", "gz"}
        The compression.
    """

    def __init__(self, file: IO[bytes], form: Format) -> None:
        self._file = file
        self._form = form
        self._pieces: list[bytes] = []
        self._size = 0
        self._threads = os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(self._threads)
        self._output = ThreadPoolExecutor(1)
        self._running: deque[Future[None]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)  # first: the other thread waits for these
        self._output.shutdown(cancel_futures=True)

    def write(self, data: bytes) -> None:
        """Append to the stream."""
        if len(data) < BLOCK // 2:
            self._pieces.append(data)
            self._size += len(data)
            if self._size >= BLOCK:
                self.flush()
            return
        self.flush()  # large data are not copied
        view = memoryview(data)
        for start in range(0, len(data), BLOCK):
            self._compress([view[start : start + BLOCK]])

    def flush(self) -> None:
        """End the current block."""
        if self._pieces:
            self._compress(self._pieces)
            self._pieces, self._size = [], 0

    def finish(self) -> None:
        """Write everything that is still being compressed."""
        self.flush()
        while self._running:
            self._running.popleft().result()

    def _compress(self, pieces: Sequence[Buffer]) -> None:
        block = self._pool.submit(_joined, pieces, self._form)
        self._running.append(self._output.submit(self._write, block))
        while len(self._running) > self._threads + 1:
            self._running.popleft().result()

    def _write(self, block: Future[Buffer]) -> None:
        self._file.write(block.result())


def _joined(pieces: Sequence[Buffer], form: Format) -> Buffer:
    """Return pieces as one compressed block."""
    block = pieces[0] if len(pieces) == 1 else b"".join(pieces)  # other threads run while `join` copies
    return compressed(block, form)


def open_stream(path: Path) -> io.BufferedIOBase:
    """Open an archive for reading, without its compression.

    Raises
    ------
    SiteError
        It is no archive.
    """
    with path.open("rb") as file:
        start = file.read(4)
    if start.startswith(_GZIP_START):
        import gzip

        return gzip.open(path)
    if start != _ZSTD_START:
        raise SiteError(f"`{path}` is no packed environment: it is neither zstd nor gzip")
    return io.BufferedReader(_ZstdStream(path), BLOCK)


class _ZstdStream(io.RawIOBase):
    """Read the frames of a zstd file one after the other."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = path.open("rb")
        self._block = memoryview(b"")

    def readable(self) -> bool:
        """Return whether it can be read."""
        return True

    def readinto(self, target: WriteableBuffer) -> int:
        """Read the rest of a frame, or what fits."""
        import cramjam

        while not self._block:
            frame = _frame(self._file)
            if not frame:
                return 0
            try:
                self._block = memoryview(bytes(cramjam.zstd.decompress(frame)))
            except Exception as error:  # noqa: BLE001 - cramjam raises a class of its own
                raise DamagedError(str(error)) from None
        view = memoryview(target)
        size = min(len(view), len(self._block))
        view[:size] = self._block[:size]
        self._block = self._block[size:]
        return size

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


class DamagedError(OSError):
    """An archive is truncated or damaged."""


def _frame(file: IO[bytes]) -> bytes:
    """Read a zstd frame (RFC 8878); empty at the end of the file."""
    parts = [file.read(5)]
    if not parts[0]:
        return b""
    if len(parts[0]) < 5 or not parts[0].startswith(_ZSTD_START):
        raise DamagedError("the archive is truncated or damaged")
    described = parts[0][4]
    single = described >> 5 & 1
    size_of_content = (single, 2, 4, 8)[described >> 6]
    parts.append(_exactly(file, (1 - single) + (0, 1, 2, 4)[described & 3] + size_of_content))
    last = False
    while not last:
        parts.append(_exactly(file, 3))
        block = int.from_bytes(parts[-1], "little")
        last = bool(block & 1)
        parts.append(_exactly(file, 1 if block >> 1 & 3 == 1 else block >> 3))
    if described >> 2 & 1:
        parts.append(_exactly(file, 4))
    return b"".join(parts)


def _exactly(file: IO[bytes], size: int) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise DamagedError("the archive is truncated")
    return data


def header(
    name: str, mode: int, mtime: int, *, size: int = 0, kind: bytes = tarfile.REGTYPE, target: str = ""
) -> bytes:
    """Return the header of a member of a tar archive.

    Parameters
    ----------
    name, target : str
        Its path, and the target of a link.
    mode, mtime, size : int
        Permissions, modification time [s], and size [bytes].
    kind : bytes
        Its type, one of the constants of `tarfile`.
    """
    if len(name) < _LONGEST and not target and name.isascii() and 0 <= mtime < _OCTAL and size < _OCTAL:
        fields = (name.encode(), b"%07o" % mode, _ROOT, _ROOT, b"%011o" % size, b"%011o" % mtime, b" " * 8, kind, b"")
        record = bytearray(_RECORD.pack(*fields, b"ustar  \0"))
        total = (zlib.adler32(record) & 0xFFFF) - 1  # the sum of its bytes: they are ASCII, so less than 65521
        record[_CHECKSUM] = b"%06o\0 " % total
        return bytes(record)
    info = tarfile.TarInfo(name)  # slower, and knows everything
    info.mode, info.mtime, info.size, info.type, info.linkname = mode, mtime, size, kind, target
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def padding(size: int) -> bytes:
    """Return what fills the last record of a member of this size."""
    return bytes(-size % tarfile.BLOCKSIZE)
