"""Blocks of an archive: with and without compression, and what happens if they cannot be written."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import tarfile
import threading

import pytest

from fasthep_parsl.packing.compression import BLOCK, BlockWriter, header, open_stream, stored

PROGRAMS = {"zst": ["zstd", "-dcq"], "gz": ["gzip", "-dc"]}
SIZES = [1, 100, 65_535, 65_536, 131_072, 131_073, 300_000]


def decompressed(data, form):
    return subprocess.run(PROGRAMS[form], input=data, capture_output=True, check=True).stdout


@pytest.mark.parametrize("form", PROGRAMS)
@pytest.mark.parametrize("size", SIZES)
def test_what_is_stored_is_read_by_programs_and_by_us(tmp_path, form, size):
    data, place = os.urandom(size), tmp_path / "stored"
    place.write_bytes(stored(data, form) + stored(b"more", form))
    assert decompressed(place.read_bytes(), form) == data + b"more"
    with open_stream(place) as stream:
        assert stream.read() == data + b"more"


@pytest.mark.parametrize("form", PROGRAMS)
@pytest.mark.parametrize("size", SIZES)
def test_the_size_of_what_is_stored_does_not_depend_on_its_content(form, size):
    assert len(stored(bytes(size), form)) == len(stored(os.urandom(size), form))


@pytest.mark.slow
@pytest.mark.parametrize("form", PROGRAMS)
def test_pieces_of_all_sizes_come_out_in_their_order(form):
    pieces = [os.urandom(size) for size in (10, 0, BLOCK // 2 - 1, BLOCK // 2, 7, BLOCK, 3 * BLOCK + 5, 1)]
    file = io.BytesIO()
    with BlockWriter(file, form) as writer:
        for piece in pieces:
            writer.write(piece)
        writer.finish()
    assert decompressed(file.getvalue(), form) == b"".join(pieces)


class FullDisk(io.BytesIO):
    """A fake: a file on a disk that becomes full."""

    def write(self, _):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def pack_into(file):
    with BlockWriter(file, "zst") as writer:
        for _ in range(100):
            writer.write(bytes(BLOCK))


def test_a_full_disk_is_reported_and_no_thread_remains():
    before = threading.active_count()
    with pytest.raises(OSError, match="No space left"):
        pack_into(FullDisk())
    assert threading.active_count() == before


@pytest.mark.parametrize("mode", [0o644, 0o755])
@pytest.mark.parametrize("name", ["a", "x" * 99, "~" * 99, "lib/python3.11/site-packages/demo/__init__.py"])
def test_headers_are_those_of_tarfile(name, mode):
    info = tarfile.TarInfo(name)
    info.mode, info.mtime, info.size = mode, 8**11 - 1, 8**11 - 1
    made = header(name, mode, info.mtime, size=info.size)
    assert made == info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
