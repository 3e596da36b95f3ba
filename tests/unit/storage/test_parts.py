"""Parts of storage: ranges, bytes kept and read ahead, repetitions, meanings of codes, URLs, file objects."""

from __future__ import annotations

import io
import random
import threading
import time
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

from fasthep_parsl.interfaces import InputFileError
from fasthep_parsl.storage import FileObject, Range, StorageLimits, ahead, retries
from fasthep_parsl.storage.address import is_remote, local_path, shown, with_user
from fasthep_parsl.storage.ahead import AheadFile
from fasthep_parsl.storage.faults import Fault, FaultError, from_http, from_xrootd
from fasthep_parsl.storage.parallel import in_parallel
from fasthep_parsl.storage.ranges import Pieces, cut, groups, joined
from fasthep_parsl.storage.web_client import is_trusted
from services.web import WebServer

CONTENT = random.Random(1).randbytes(2_000_000)


class FakeFile:
    """A file in memory, as a fake of a remote one."""

    url, size = "fake://a", len(CONTENT)

    def __init__(self):
        self.bytes_read = 0
        self.reads = []
        self.closed = False
        self.fails = ""
        self.wait = threading.Event()
        self.wait.set()

    def read(self, offset, size):
        return self.read_many([Range(offset, min(offset + size, self.size))])[0]

    def read_many(self, ranges):
        self.reads.append(list(ranges))
        assert self.wait.wait(20)
        if self.fails:
            raise InputFileError(self.url, "broken", cause=self.fails)
        self.bytes_read += sum(stop - start for start, stop in ranges)
        return [memoryview(CONTENT[start:stop]) for start, stop in ranges]

    def close(self):
        self.closed = True


# -------------------------------------------------------------------------------------------------------- ranges


def test_close_ranges_are_joined_and_large_ones_cut():
    assert joined([Range(10, 20), Range(0, 5), Range(25, 30), Range(12, 14)], 5) == [Range(0, 30)]
    assert joined([Range(0, 5), Range(11, 12)], 5) == [Range(0, 5), Range(11, 12)]
    assert cut([Range(0, 25), Range(30, 30)], 10) == [Range(0, 10), Range(10, 20), Range(20, 25), Range(30, 30)]
    assert list(groups([Range(0, 4), Range(4, 8), Range(8, 12)], 9, 8)) == [[Range(0, 4), Range(4, 8)], [Range(8, 12)]]
    assert [len(group) for group in groups([Range(0, 1)] * 5, 2, 100)] == [2, 2, 1]
    assert list(groups([Range(0, 100)], 2, 8)) == [[Range(0, 100)]]


def test_pieces_return_what_they_have():
    pieces = Pieces([Range(10, 20), Range(20, 25), Range(30, 40)], [CONTENT[10:20], CONTENT[20:25], CONTENT[30:35]])
    assert bytes(pieces.find(12, 20)) == CONTENT[12:20]
    assert bytes(pieces.find(12, 24)) == CONTENT[12:24]
    assert [pieces.find(*item) for item in ((0, 5), (5, 12), (24, 31), (32, 38), (90, 91))] == [None] * 5


def test_random_ranges_are_read_exactly():
    numbers = random.Random(2)
    for _ in range(200):
        starts = [numbers.randrange(1_000_000) for _ in range(numbers.randrange(1, 30))]
        ranges = [Range(start, start + numbers.randrange(1, 30_000)) for start in starts]
        read = cut(joined(ranges, numbers.choice([0, 100, 10_000])), numbers.choice([1000, 100_000]))
        pieces = Pieces(read, [CONTENT[start:stop] for start, stop in read])
        assert all(bytes(pieces.find(*item)) == CONTENT[item.start : item.stop] for item in ranges)


# ------------------------------------------------------------------------------------------------ kept and read ahead


def test_both_ends_are_one_request_and_need_no_other():
    inner = FakeFile()
    file = AheadFile(inner)
    assert inner.reads == [[Range(0, ahead.HEAD), Range(len(CONTENT) - ahead.TAIL, len(CONTENT))]]
    assert bytes(file.read(100, 50)) == CONTENT[100:150]
    assert bytes(file.read(len(CONTENT) - 10, 50)) == CONTENT[-10:]
    assert len(inner.reads) == 1
    assert bytes(file.read(500_000, 5)) == CONTENT[500_000:500_005]
    assert len(file.read(len(CONTENT) + 5, 5)) == 0
    assert len(inner.reads) == 2


@pytest.mark.parametrize("size", [0, 1, ahead.HEAD, ahead.HEAD + 1, ahead.TAIL, ahead.TAIL + 5])
@pytest.mark.parametrize("head", [None, 10, ahead.HEAD])
def test_small_files(size, head):
    inner = FakeFile()
    inner.size = size
    file = AheadFile(inner, None if head is None else CONTENT[: min(head, size)])
    assert bytes(file.read(0, size)) == CONTENT[:size]
    assert inner.bytes_read <= size


def test_ranges_read_ahead_are_used_and_others_are_read():
    inner = FakeFile()
    file = AheadFile(inner)
    inner.reads.clear()
    inner.wait.clear()
    file.prefetch([Range(500_000, 500_100), Range(600_000, 600_100)])
    threading.Timer(0.05, inner.wait.set).start()
    wanted = [Range(600_000, 600_050), Range(700_000, 700_010), Range(5, 10)]
    assert [bytes(found) for found in file.read_many(wanted)] == [CONTENT[start:stop] for start, stop in wanted]
    assert inner.reads == [[Range(500_000, 500_100), Range(600_000, 600_100)], [Range(700_000, 700_010)]]
    file.prefetch([Range(500_000, 500_050)])  # is there
    assert len(inner.reads) == 2


def test_a_read_ahead_that_fails_is_read_again():
    inner = FakeFile()
    file = AheadFile(inner)
    inner.fails = "unreachable"
    file.prefetch([Range(500_000, 500_100)], wait=True)
    inner.fails = ""
    assert bytes(file.read(500_000, 10)) == CONTENT[500_000:500_010]


def test_a_read_ahead_that_stalls_is_not_waited_for_twice():
    inner = FakeFile()
    file = AheadFile(inner)
    inner.fails = "stalled"
    file.prefetch([Range(500_000, 500_100)], wait=True)
    inner.reads.clear()
    with pytest.raises(InputFileError, match="broken"):
        file.read(500_000, 10)
    assert inner.reads == []


def test_too_much_is_not_read_ahead(monkeypatch):
    monkeypatch.setattr(ahead, "MOST_AHEAD", 99)
    inner = FakeFile()
    file = AheadFile(inner)
    inner.reads.clear()
    file.prefetch([Range(500_000, 500_100)], wait=True)
    assert inner.reads == []
    assert len(file.read(500_000, 10)) == 10


def test_closing_does_not_wait_for_what_is_read_ahead():
    inner = FakeFile()
    file = AheadFile(inner)
    inner.wait.clear()
    file.prefetch([Range(500_000, 500_100)])
    file.close()
    assert inner.closed
    inner.wait.set()


def test_a_file_object():
    file = io.BufferedReader(FileObject(AheadFile(FakeFile())), 4096)
    assert file.seek(-10, io.SEEK_END) == len(CONTENT) - 10
    assert file.read() == CONTENT[-10:]
    assert file.seek(1_000_000) == 1_000_000
    assert file.read(5) == CONTENT[1_000_000:1_000_005]
    assert (file.tell(), file.seekable(), file.readable()) == (1_000_005, True, True)
    inner = file.raw._file._file
    file.close()
    assert inner.closed


def test_in_parallel_keeps_the_order_and_raises_the_first_error():
    before = threading.active_count()
    assert list(in_parallel(lambda number: number * 2, list(range(50)), 4)) == list(range(0, 100, 2))
    assert list(in_parallel(str, [], 4)) == []
    assert threading.active_count() <= before
    meeting = threading.Barrier(3)
    list(in_parallel(lambda _: meeting.wait(20), range(3), 3))
    with pytest.raises(ZeroDivisionError):
        list(in_parallel(lambda number: 1 // number, [1, 0, 2], 2))


def test_an_iterator_that_is_closed_begins_no_other_call():
    begun, go = [], threading.Semaphore(1)

    def call(number):
        begun.append(number)
        assert go.acquire(timeout=20)
        return number

    found = in_parallel(call, range(100), 1)
    assert next(found) == 0
    found.close()
    go.release(100)
    assert len(begun) <= 2


# ------------------------------------------------------------------------------------------------------- repetitions


@pytest.fixture
def waits(monkeypatch):
    found = []
    monkeypatch.setattr(retries.time, "sleep", found.append)
    return found


def failing(times, passing=True):
    left = [None] * times

    def operation(seconds):
        assert seconds > 0
        if left:
            left.pop()
            raise FaultError(Fault("unreachable", passing, "down"))
        return "found"

    return operation


def test_passing_faults_are_repeated_with_growing_waits(waits):
    assert retries.repeated(failing(3), 100, 3) == "found"
    assert len(waits) == 3
    assert all(0.5 <= wait / (retries.FIRST_WAIT * 2**n) <= 1.5 for n, wait in enumerate(waits))
    with pytest.raises(FaultError):
        retries.repeated(failing(4), 100, 3)


def test_waits_differ(waits):
    for _ in range(5):
        retries.repeated(failing(1), 100, 1)
    assert len(set(waits)) == 5


def test_lasting_faults_are_not_repeated(waits):
    with pytest.raises(FaultError):
        retries.repeated(failing(1, passing=False), 100, 3)
    assert waits == []


def test_no_time_is_no_repetition(waits):
    with pytest.raises(FaultError):
        retries.repeated(failing(1), 0.01, 3)
    assert waits == []


# ------------------------------------------------------------------------------------------------ codes and addresses


@pytest.mark.parametrize(
    ("code", "errno", "cause", "passing"),
    [
        (400, 3010, "not_permitted", False), (400, 3011, "not_found", False), (400, 3012, "unreachable", True),
        (400, 3024, "unreachable", True), (400, 3030, "not_authenticated", False), (400, 3019, "corrupt", True),
        (400, 3999, "unreachable", False), (204, 0, "not_authenticated", False), (206, 0, "stalled", True),
        (108, 0, "unreachable", True), (101, 0, "unreachable", True), (110, 0, "unreachable", False),
        (305, 0, "corrupt", True), (999, 0, "unreachable", True),
    ],
)  # fmt: skip
def test_codes_of_xrootd(code, errno, cause, passing):
    fault = from_xrootd(SimpleNamespace(ok=False, code=code, errno=errno))
    assert (fault.cause, fault.passing) == (cause, passing)


@pytest.mark.parametrize(
    ("code", "cause", "passing"),
    [(401, "not_authenticated", False), (403, "not_permitted", False), (404, "not_found", False), (429, "unreachable", True),
     (500, "unreachable", True), (507, "unreachable", True), (400, "unreachable", False), (416, "corrupt", False)],
)  # fmt: skip
def test_codes_of_http(code, cause, passing):
    fault = from_http(code)
    assert (fault.cause, fault.passing) == (cause, passing)
    assert str(code) in fault.text


def test_addresses():
    assert all(map(is_remote, ("root://h//a", "ROOTS://h//a", "davs://h/a", "osdf:///a", "https://h/a")))
    assert not any(map(is_remote, ("/a", "a://b", "file:///a", "s3://b/a")))
    assert local_path("file:///data/a%20b.root") == "/data/a b.root"
    assert local_path("/data/a%20b.root") == "/data/a%20b.root"
    assert shown("root://u:secret@h:1//a?authz=secret#secret") == "root://u@h:1//a"
    assert with_user("root://h:1//a@b", "tag") == "root://tag@h:1//a@b"
    assert with_user("root://me@h//a", "tag") == "root://me@h//a"
    assert with_user("root://h//a", "") == "root://h//a"


@pytest.mark.parametrize(
    ("first", "other", "trusted"),
    [
        ("https://a.b.ch/x", "https://a.b.ch:444/x", True), ("https://a.b.ch", "https://c.b.ch", True),
        ("https://a.b.ch", "http://a.b.ch", False), ("https://a.b.ch", "https://c.d.ch", False),
        ("https://b.ch", "https://c.ch", False), ("https://b.ch", "https://evil-b.ch", False),
        ("https://a.b.ch", "https://evilb.ch", False), ("https://10.0.0.1", "https://10.1.0.1", False),
        ("https://10.0.0.1", "https://11.0.0.1", False), ("https://localhost", "https://localhost", True),
        ("http://a.b.ch", "https://a.b.ch", True), ("http://a.b.ch", "http://a.b.ch", False),
    ],
)  # fmt: skip
def test_who_may_see_a_credential(first, other, trusted):
    assert is_trusted(urlsplit(first), urlsplit(other)) is trusted


def test_reading_of_parquet_raises_what_the_server_says(no_credentials, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    from fasthep_parsl.plan import PlanSource, PlanStorage
    from fasthep_parsl.sources.files import open_file, read_fields

    pq.write_table(
        pa.table({"a": list(range(400_000))}), tmp_path / "a.parquet", use_dictionary=False, compression=None
    )
    source = PlanSource(kind="parquet", storage=PlanStorage(retries=0))
    with WebServer() as server:
        server.files["/a.parquet"] = (tmp_path / "a.parquet").read_bytes()
        file = open_file(server.url("/a.parquet"), source)
        assert read_fields(file, source, ["a"], 5, 8)["a"].tolist() == [5, 6, 7]
        file = open_file(server.url("/a.parquet"), source)
        server.statuses["/a.parquet"] = [500] * 100
        with pytest.raises(InputFileError, match="HTTP 500") as caught:
            read_fields(file, source, ["a"], 5, 8)
        assert caught.value.cause == "unreachable"


def test_limits_are_those_of_the_block():
    from fasthep_parsl.storage import current_limits, limited

    with limited(StorageLimits(1, 2, 3)):
        assert current_limits() == StorageLimits(1, 2, 3)
    assert current_limits() == StorageLimits()


def test_files_of_a_server_that_has_stalled_have_connections_of_their_own(monkeypatch):
    from fasthep_parsl.storage import xrootd_client

    monkeypatch.setattr(xrootd_client, "_STALLED", set())
    bad, good = "root://bad:1//a", "root://good:1//a"
    assert xrootd_client.connection_name(bad, "tag") == "tag"
    xrootd_client.note_stall("root://bad:1//another")
    names = {xrootd_client.connection_name(bad, "tag") for _ in range(3)}
    assert len(names) == 3
    assert "tag" not in names
    assert all(name.startswith("tag") and name.isalnum() for name in names)
    assert xrootd_client.connection_name(good, "tag") == "tag"


@pytest.mark.parametrize("seconds", [0.0, 0.6])
def test_a_late_answer_shows_that_a_connection_has_stalled(monkeypatch, seconds):
    from fasthep_parsl.storage import xrootd_client, xrootd_file

    class Answer:
        ok = True

    class Late:
        def read(self, start, size, timeout):
            time.sleep(seconds)
            return Answer(), bytes(size)

    monkeypatch.setattr(xrootd_client, "_STALLED", set())
    file = object.__new__(xrootd_file.XRootDFile)
    vars(file).update(_target="root://late:1//a", _limits=StorageLimits(1, 1, 0), _file=Late(), size=100, bytes_read=0)
    assert len(file.read(0, 10)) == 10
    assert ({"late:1"} if seconds else set()) == xrootd_client._STALLED
