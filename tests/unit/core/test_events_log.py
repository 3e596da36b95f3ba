"""``events.jsonl``: one line per event, readable after any kind of death."""

from __future__ import annotations

import errno
import json
import threading

import pytest

from fasthep_parsl.errors import ConfigError
from fasthep_parsl.events import EventLog, RunEnded, TaskRetried, read_events
from fasthep_parsl.events.event import VERSION
from fasthep_parsl.tasks import Ref
from sample_events import block, finished, node, run_started

ENDED = RunEnded(status="failed", exit_code=1)
REF = Ref("/run/work/s.npz", "sha256:00", 17, 70, 0, ((0, 3), (5, 6)), (10, 20, 30, 10), skip=5)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "events.jsonl"


def kinds(path):
    return [event.kind for event in read_events(path)]


def test_events_are_written_read_and_observed(path):
    seen = []
    notes = {"profile": {"A": {"calls": 3}}}
    events = [run_started(boot="b"), finished(task=3, done=((0, 2), (4, 6)), refs={"A": (REF,)}, notes=notes)]
    events += [node("c1", gpus=({"device": "0", "memory": 10**10},)), ENDED]
    with EventLog(path, seen.append) as record:
        record(events[0])
        assert kinds(path) == ["run"]  # on disk at once
        for event in events[1:]:
            record(event)
    assert list(read_events(path)) == events
    assert all(event.checked for event in read_events(path))
    assert seen == events
    assert events[0].time.endswith("Z")


def test_the_first_line_is_the_version(path):
    for _ in range(2):  # each process that writes adds one
        with EventLog(path) as record:
            record(ENDED)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["kind"] for line in lines] == ["log", "ended"] * 2
    assert lines[0]["version"] == VERSION


def test_a_log_without_events_is_empty(path):
    with EventLog(path):
        pass
    assert path.read_text() == ""


def newer(path, **more):
    path.write_text(
        json.dumps({"time": "", "kind": "log", "version": VERSION + 1, "software": "fasthep-parsl 9.1", **more}) + "\n"
    )


@pytest.mark.parametrize("more", [{}, {"later": 1}])
def test_a_file_of_a_newer_version_is_refused(path, more):
    newer(path, **more)
    with pytest.raises(
        ConfigError, match=rf"events\.jsonl is an event log of version {VERSION + 1}, .*fasthep-parsl 9\.1"
    ) as caught:
        list(read_events(path))
    assert "use fasthep-parsl 9.1 or later" in str(caught.value.problems[0].hint)


def test_a_file_without_a_version_is_read(path):
    with EventLog(path) as record:
        record(ENDED)
    path.write_text(path.read_text().splitlines(keepends=True)[1])
    assert list(read_events(path)) == [ENDED]


@pytest.mark.parametrize(
    "line",
    [
        '{"time":"","kind":"unknown","task":3}',
        '{"time":"","kind":"retried","task":3}',
        '{"time":"","kind":"block","pool":"p","state":"other","block":1}',
        '{"time":"","kind":"ended"',
        "[]",
        "{}",
    ],
)
def test_a_line_that_is_not_an_event_is_damaged(path, line):
    path.write_text(line + "\n")
    damaged = []
    assert list(read_events(path, damaged.append)) == []
    assert damaged == [1]


def test_text_that_is_not_unicode_does_not_damage_a_line(path):
    with EventLog(path) as record:
        record(block("refused", message="no \udc80 file é"))
    (event,) = read_events(path)
    assert event.message == "no ? file é"


def test_nothing_is_written_after_the_end(path):
    with EventLog(path) as record:
        record(run_started())
    record(ENDED)
    assert kinds(path) == ["run"]


@pytest.mark.parametrize("rest", ['{"kind": "fini', '{"kind": "finished"}', "x" * 200_000, ""])
def test_a_half_written_last_line_is_left_out_for_good(path, rest):
    with EventLog(path) as record:
        record(run_started())
    path.write_text(path.read_text() + rest)
    assert kinds(path) == ["run"]
    with EventLog(path) as record:
        record(run_started(state="resumed"))
        record(ENDED)
    assert kinds(path) == ["run", "run", "ended"]


def test_a_log_that_is_one_half_line(path):
    path.write_text('{"kind": "ru')
    with EventLog(path) as record:
        record(run_started())
    assert kinds(path) == ["run"]


def test_a_full_disk_ends_the_run_not_the_threads_of_pools(path, monkeypatch):
    with EventLog(path) as record:
        monkeypatch.setattr(record, "_append", lambda line: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
        seen = []
        thread = threading.Thread(target=lambda: seen.append(record(block("up"))))
        thread.start()
        thread.join()
        assert seen == [None]
        monkeypatch.undo()
        with pytest.raises(OSError, match="full"):
            record(finished())
        record(ENDED)
    assert kinds(path) == ["ended"]


def test_a_line_that_does_not_fit_on_the_disk_does_not_damage_the_next(path):
    log = EventLog(path)
    log(TaskRetried(task=1, segment=0))

    class Full:
        """Takes half of what is written, as a full disk does."""

        def __init__(self, file):
            self.file, self.closed, self.full = file, False, True

        def write(self, line):
            return self.file.write(line[: len(line) // 2] if self.full else line)

        def __getattr__(self, name):
            return getattr(self.file, name)

    log._file = full = Full(log._file)
    with pytest.raises(OSError, match="No space left"):
        log(TaskRetried(task=2, segment=0))
    full.full = False
    log(TaskRetried(task=3, segment=0))
    log._file.file.close()
    damaged = []
    assert [event.task for event in read_events(path, damaged.append)] == [1, 3]
    assert damaged == []


@pytest.mark.parametrize("place", range(0, 100, 9))
def test_any_changed_byte_of_a_line_is_detected(path, place):
    with EventLog(path) as log:
        log(finished(task=17, done=((3, 40),), partial="work/products/map-0-000017.pkl"))
    header, content = path.read_bytes().splitlines(keepends=True)
    place = place * (len(content) - 2) // 100
    path.write_bytes(header + content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    assert [event for event in read_events(path) if event.checked] == []
