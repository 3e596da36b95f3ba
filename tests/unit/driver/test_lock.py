"""Lock of a run directory: one driver at a time; a dead one does not keep it."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict

import pytest

from fasthep_parsl.driver import lock as locks
from fasthep_parsl.driver import lock_files as files
from fasthep_parsl.driver.driver_process import this_driver
from fasthep_parsl.driver.lock import DriverLock, LockLostError
from fasthep_parsl.driver.lock_files import holders
from fasthep_parsl.driver.run_directory import taken
from fasthep_parsl.errors import ConfigError

HOLD = """
import sys, time
from pathlib import Path
from fasthep_parsl.driver.lock import DriverLock
lock = DriverLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
lock.release()
"""
RACE = """
import sys
from pathlib import Path
from fasthep_parsl.driver.lock import DriverLock
from fasthep_parsl.errors import ConfigError
sys.stdin.readline()
try:
    DriverLock(Path(sys.argv[1]))
    print("held", flush=True)
except ConfigError as error:
    print("refused" if "is in use by" in str(error) else error, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def process(tmp_path):
    """Start Python processes on the folder `tmp_path`; those that are there at the end are killed."""
    started = []

    def start(code):
        command = [sys.executable, "-c", code, str(tmp_path)]
        started.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for one in started:
        one.kill()
        one.communicate()


def write(folder, number=1, *, age=0.0, **driver):
    """Write a lock as another driver does, `age` seconds ago."""
    path = folder / f"driver.lock.{number}"
    content = {
        "token": "other",
        "since": "2026-01-01T00:00:00Z",
        "what": "run",
        "driver": {**asdict(this_driver()), **driver},
    }
    path.write_text(json.dumps(content))
    os.utime(path, (time.time() - age,) * 2)
    return path


def left(folder):
    return sorted(path.name for path in folder.iterdir())


def test_it_is_held_once_and_nothing_is_left(tmp_path):
    with DriverLock(tmp_path) as lock:
        lock.check()
        assert [(holder.token, holder.driver.pid) for holder in holders(tmp_path)] == [(lock.token, os.getpid())]
        with pytest.raises(ConfigError, match="is in use by `fasthep-parsl run`"):
            DriverLock(tmp_path)
    assert left(tmp_path) == []
    DriverLock(tmp_path).release()


@pytest.mark.slow
def test_who_holds_it_since_when_and_what_to_do(tmp_path, process):
    other = process(HOLD)
    other.stdout.readline()
    with pytest.raises(ConfigError) as caught:
        DriverLock(tmp_path)
    (problem,) = caught.value.problems
    assert problem.code == "E166"
    assert re.search(rf"process {other.pid} on \S+, since 20\d\d-\S+Z$", problem.message)
    assert f"`kill {other.pid}`" in str(problem.hint)
    other.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, other.pid, os.WSTOPPED | os.WNOWAIT)
    with pytest.raises(ConfigError, match=f"kill -CONT {other.pid}"):
        DriverLock(tmp_path)


@pytest.mark.slow
def test_the_lock_of_a_killed_process_is_replaced(tmp_path, process):
    other = process(HOLD)
    other.stdout.readline()
    other.kill()
    os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)  # it is a zombie: nobody has asked for its end
    began = time.monotonic()
    with DriverLock(tmp_path):
        assert time.monotonic() - began < 20  # not the time after which a silent one is taken for dead
        assert left(tmp_path) == ["driver.lock.2"]
    assert left(tmp_path) == []


def test_another_process_with_its_number_is_not_the_holder(tmp_path):
    write(tmp_path, ticks=this_driver().ticks - 1)
    DriverLock(tmp_path).release()
    write(tmp_path, ticks=0, since=0.0)
    DriverLock(tmp_path).release()


@pytest.mark.slow
@pytest.mark.parametrize("dead", [False, True])
def test_of_many_at_the_same_time_one_gets_it(tmp_path, process, dead):
    if dead:
        write(tmp_path, pid=2**22 + 1)
    many = [process(RACE) for _ in range(5)]
    for one in many:
        one.stdin.write("go\n")
        one.stdin.flush()
    said = [one.stdout.readline().strip() for one in many]
    assert sorted(said) == ["held", *["refused"] * 4]
    assert len(holders(tmp_path)) == 1


# --- other machines -------------------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch):
    for module in (files, locks):
        monkeypatch.setattr(module, "BEAT", 0.2)
    monkeypatch.setattr(files, "STALE", 5.0)
    monkeypatch.setattr(locks, "CHECK", 0.0)


ELSEWHERE = [{"host": "another.example.org"}, {"boot": "another"}, {"container": "another"}]


@pytest.mark.parametrize("where", ELSEWHERE, ids=["host", "boot", "container"])
def test_a_driver_on_another_machine_is_alive_while_it_updates_its_lock(tmp_path, quick, where):
    write(tmp_path, **where, pid=2**22 + 1)
    with pytest.raises(ConfigError, match="if the machine is down, try again in 5 s"):
        DriverLock(tmp_path)
    write(tmp_path, age=6, **where)
    DriverLock(tmp_path).release()


@pytest.mark.parametrize("age", [3600, -3600])
def test_clocks_that_differ_do_not_matter(tmp_path, quick, age):
    """The time of its last sign of life is an hour off, but it moves: alive. Then it stands still: dead."""
    path = write(tmp_path, age=age, host="another")
    stop = threading.Event()

    def beat():
        while not stop.wait(0.05):
            os.utime(path, (path.stat().st_mtime + 0.05,) * 2)

    thread = threading.Thread(target=beat)
    thread.start()
    with pytest.raises(ConfigError, match="in use"):
        DriverLock(tmp_path)
    stop.set()
    thread.join()
    DriverLock(tmp_path).release()


@pytest.mark.slow
@pytest.mark.parametrize("content", ["", "{", "[]", "\0" * 100])
def test_an_unreadable_lock_is_replaced_after_some_time(tmp_path, quick, content):
    path = tmp_path / "driver.lock.4"
    path.write_text(content)
    with pytest.raises(ConfigError, match="its lock file is not readable"):
        DriverLock(tmp_path)
    os.utime(path, (0, 0))
    with DriverLock(tmp_path):
        assert left(tmp_path) == ["driver.lock.5"]


def test_the_lock_file_is_updated(tmp_path, quick):
    with DriverLock(tmp_path) as lock:
        (path,) = tmp_path.iterdir()
        os.utime(path, (0, 0))
        lock.keep(lambda: None)
        until = time.monotonic() + 10
        while path.stat().st_mtime < time.time() - 5:
            assert time.monotonic() < until
            time.sleep(0.01)


@pytest.mark.parametrize("gone", [False, True])
def test_a_holder_that_was_replaced_notices(tmp_path, quick, gone):
    lock = DriverLock(tmp_path)
    lost = threading.Event()
    lock.keep(lost.set)
    if gone:
        (tmp_path / "driver.lock.1").unlink()
    other = write(tmp_path, 2, host="another.example.org")
    assert lost.wait(10)
    with pytest.raises(LockLostError, match=r"taken over by .* on another\.example\.org"):
        lock.check()
    lock.release()
    assert other.exists()


def test_a_fork_does_not_give_up_the_lock_of_its_parent(tmp_path):
    lock = DriverLock(tmp_path)
    pid = os.fork()
    if not pid:
        lock.release()
        os._exit(0)
    os.waitpid(pid, 0)
    lock.check()
    assert left(tmp_path) == ["driver.lock.1"]
    lock.release()


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP])
def test_a_file_system_without_hard_links(tmp_path, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refuse)
    with DriverLock(tmp_path), pytest.raises(ConfigError, match="in use"):
        DriverLock(tmp_path)
    assert left(tmp_path) == []


def test_a_link_whose_answer_was_lost(tmp_path, monkeypatch):
    link = os.link

    def unsure(source, target):
        link(source, target)
        raise OSError(errno.EIO, "the answer was lost")

    monkeypatch.setattr(os, "link", unsure)
    with DriverLock(tmp_path) as lock:
        lock.check()


# --- run directories ------------------------------------------------------------------------------------------


@pytest.fixture
def plan(make_plan):
    return make_plan([(["A"], "p", {"products": ("A",)})], 4)


@pytest.mark.parametrize("mode", ["new", "force", "resume"])
def test_a_run_directory_in_use_is_not_touched(tmp_path, plan, mode):
    with taken(tmp_path / "run", plan, "new") as made:
        (made.path / "events.jsonl").write_text("precious\n")
        with pytest.raises(ConfigError, match="in use"), taken(tmp_path / "run", plan, mode):
            raise AssertionError
        assert (made.path / "events.jsonl").read_text() == "precious\n"
        made.lock.check()
    with taken(tmp_path / "run", plan, "resume") as again:
        assert again.resumed


def test_a_refused_run_directory_is_unchanged(tmp_path, plan):
    (tmp_path / "mine").touch()
    with pytest.raises(ConfigError, match="is not a run directory"), taken(tmp_path, plan, "force"):
        raise AssertionError
    assert left(tmp_path) == ["mine"]
