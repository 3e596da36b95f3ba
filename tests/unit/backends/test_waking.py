"""Threads that wait are woken up by a call, by the end of a process, and by a result, not by a poll."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest
import zmq
from parsl.executors.high_throughput.zmq_pipes import ResultsIncoming

from fasthep_parsl.backends.parsl.waking import Alarm, WakingResults

NEVER = 60.0
"""Seconds that no wait here may take."""


def waited(wait):
    """Return the seconds that a call takes."""
    began = time.monotonic()
    wait()
    return time.monotonic() - began


@pytest.mark.parametrize("first", [True, False], ids=["before", "while"])
def test_an_alarm_that_rings_ends_one_wait(first):
    alarm = Alarm()
    ringing = threading.Timer(0.0 if first else 0.2, alarm.ring)
    ringing.start()
    if first:
        ringing.join()
        alarm.ring()  # two rings before a wait count once
    assert waited(lambda: alarm.wait(NEVER, [])) < NEVER
    assert waited(lambda: alarm.wait(0.1, [])) >= 0.09


@pytest.mark.skipif(sys.platform != "linux", reason="pidfd_open")
def test_the_end_of_a_process_ends_a_wait():
    process = subprocess.Popen(["sleep", "600"])
    try:
        threading.Timer(0.2, process.kill).start()
        assert waited(lambda: Alarm().wait(NEVER, [process.pid])) < NEVER
        assert waited(lambda: Alarm().wait(NEVER, [process.pid])) < NEVER  # also when it has ended before
    finally:
        process.kill()
        process.wait()


def test_without_pidfds_waits_are_short(monkeypatch):
    monkeypatch.setattr("fasthep_parsl.backends.parsl.waking.BLIND_PERIOD", 0.01)
    monkeypatch.delattr("os.pidfd_open", raising=False)
    assert waited(lambda: Alarm().wait(NEVER, [1])) < NEVER


def test_results_arrive_and_the_end_wakes():
    pipe = ResultsIncoming("127.0.0.1", (20000, 60000))  # Parsl's, of the version that is installed
    with zmq.Context() as context:
        results, found = WakingResults(pipe), []
        sender = context.socket(zmq.DEALER)
        sender.connect(f"tcp://127.0.0.1:{pipe.port}")

        def receive():
            while (message := results.get(10)) is not None:
                found.extend(message if isinstance(message, list) else [message])

        sender.send(b"first")
        expected = pipe.get(60_000)
        sender.send(b"first")
        assert results.get(10) == expected  # older versions of Parsl expect several messages at once
        thread = threading.Thread(target=receive, daemon=True)
        thread.start()
        for number in range(100):
            sender.send(b"%d" % number)
        until = time.monotonic() + NEVER
        while len(found) < 100 and time.monotonic() < until:
            time.sleep(0.01)
        assert found == [b"%d" % number for number in range(100)]
        assert thread.is_alive()  # no timeout
        results.wake()
        thread.join(NEVER)
        assert not thread.is_alive()
        sender.close(linger=0)
        results.close()
