"""``events.jsonl``: one line per thing that happened, readable after any kind of death."""

from __future__ import annotations

import errno
import threading

import pytest

from fasthep_parsl.events import EventLog, read_events


def kinds(path):
    return [event["kind"] for event in read_events(path)]


def test_events_are_written_read_and_observed(tmp_path):
    seen = []
    path = tmp_path / "events.jsonl"
    with EventLog(path, seen.append) as record:
        record("run", state="started")
        record("finished", task=3, done=((0, 2),), path=tmp_path)
        assert kinds(path) == ["run", "finished"]  # on disk at once
    events = list(read_events(path))
    assert events[1] | {"time": ""} == {
        "time": "",
        "kind": "finished",
        "task": 3,
        "done": [[0, 2]],
        "path": str(tmp_path),
    }
    assert events[0]["time"].endswith("Z")
    assert [event["kind"] for event in seen] == ["run", "finished"]


def test_nothing_is_written_after_the_end(tmp_path):
    path = tmp_path / "events.jsonl"
    with EventLog(path) as record:
        record("run")
    record("late")
    assert kinds(path) == ["run"]


@pytest.mark.parametrize("rest", ['{"kind": "fini', '{"kind": "finished"}', "x" * 200_000, ""])
def test_a_half_written_last_line_is_left_out_for_good(tmp_path, rest):
    path = tmp_path / "events.jsonl"
    with EventLog(path) as record:
        record("run")
    path.write_text(path.read_text() + rest)
    assert kinds(path) == ["run"]
    with EventLog(path) as record:
        record("resumed")
        record("ended")
    assert kinds(path) == ["run", "resumed", "ended"]


def test_a_log_that_is_one_half_line(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text('{"kind": "ru')
    with EventLog(path) as record:
        record("run")
    assert kinds(path) == ["run"]


def test_a_full_disk_does_not_end_threads_of_pools_but_the_run(tmp_path, monkeypatch):
    with EventLog(tmp_path / "events.jsonl") as record:
        monkeypatch.setattr(record, "_append", lambda line: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
        seen = []
        thread = threading.Thread(target=lambda: seen.append(record("block", state="up")))
        thread.start()
        thread.join()
        assert seen == [None]
        monkeypatch.undo()
        with pytest.raises(OSError, match="full"):
            record("finished", task=1)
        record("ended", status="failed")
    assert [event["kind"] for event in read_events(tmp_path / "events.jsonl")] == ["ended"]


def test_a_line_that_does_not_fit_on_the_disk_does_not_damage_the_next(tmp_path):
    log = EventLog(tmp_path / "e.jsonl")
    log("first", number=1)

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
        log("second", number=2)
    full.full = False
    log("third", number=3)
    log._file.file.close()
    damaged = []
    assert [event["number"] for event in read_events(tmp_path / "e.jsonl", damaged.append)] == [1, 3]
    assert damaged == []


@pytest.mark.parametrize("place", range(0, 100, 9))
def test_any_changed_byte_of_a_line_is_seen(tmp_path, place):
    path = tmp_path / "e.jsonl"
    with EventLog(path) as log:
        log("finished", task=17, done=[[3, 40]], partial="work/products/map-0-000017.pkl")
    content = path.read_bytes()
    place = place * (len(content) - 2) // 100
    path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    damaged = []
    told = [event for event in read_events(path, damaged.append) if event.get("sealed", True)]
    assert told == []
