"""A fork of this process behaves like a sub-process: own session, own output, exit codes, nothing of ours left open."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from fasthep_parsl.blocks.fork import Fork, can_fork

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="blocks are forked on Linux only")


@pytest.fixture
def start(tmp_path):
    """Start a fork whose output goes to files; yields it, and its output when it has ended."""
    children = []

    def fork(run, **environment):
        keep, other = os.pipe()
        with (tmp_path / "out").open("ab") as out, (tmp_path / "err").open("ab") as err:
            children.append(Fork(run, out.fileno(), err.fileno(), environment, keep))
        os.close(keep)
        os.close(other)
        return children[-1]

    yield fork
    for child in children:
        if child.poll() is None:
            os.kill(child.pid, signal.SIGKILL)
            child.wait(5)


def test_it_has_a_session_an_environment_and_output_of_its_own(start, tmp_path):
    def run():
        print(os.getsid(0) == os.getpid(), os.environ["MINE"], file=sys.stdout)
        print("trouble", file=sys.stderr)
        assert sys.stdin.read() == ""

    child = start(run, MINE="yes")
    assert child.wait(10) == 0
    assert child.returncode == 0
    assert (tmp_path / "out").read_text() == "True yes\n"
    assert (tmp_path / "err").read_text() == "trouble\n"
    assert "MINE" not in os.environ


def test_it_has_none_of_our_files(start, tmp_path):
    with (tmp_path / "ours").open("w") as ours:
        number = ours.fileno()

        def run():
            try:
                os.fstat(number)
            except OSError:
                sys.exit(7)

        assert start(run).wait(10) == 7


def test_an_error_is_told_and_never_comes_back_here(start, tmp_path):
    def run():
        raise ValueError("lost")

    assert start(run).wait(10) == 1
    assert "ValueError: lost" in (tmp_path / "err").read_text()


def test_threads_of_libraries_are_no_reason_to_warn():
    """From Python 3.12 on `os.fork` warns of them; `threading` does not know them, nor that theirs expect it."""
    code = (
        "import _thread, os, sys, time\n"
        "from fasthep_parsl.blocks.fork import Fork, can_fork\n"
        "_thread.start_new_thread(time.sleep, (60,))\n"
        "while len(os.listdir('/proc/self/task')) < 2: time.sleep(0.01)\n"
        "assert can_fork()\n"
        "child = Fork(lambda: None, 1, 2, {}, 3)\n"
        "sys.exit(child.wait(20))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_it_can_be_ended(start):
    child = start(lambda: time.sleep(60))
    assert child.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(0.02)
    child.terminate()
    assert child.wait(10) == -signal.SIGTERM
    child.terminate()  # once more does no harm


def test_not_from_a_process_with_threads():
    import threading

    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        assert not can_fork()
    finally:
        done.set()
        thread.join()
