"""Peaks of parts of a process's life."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from fasthep_parsl.resources import memory

MB = 1_000_000


def test_a_peak_can_be_started_again():
    before = memory.restart_peak()
    big = np.ones(10 * MB)  # 80 MB
    del big
    whole = memory.peak()
    assert memory.peak_since() > before + 70 * MB
    assert memory.restart_peak() < whole - 50 * MB
    assert memory.peak_since() < whole - 50 * MB
    assert memory.peak() >= whole
    assert memory.in_use() == pytest.approx(memory.peak_since(), abs=20 * MB)


@pytest.mark.integration
def test_a_fork_tells_of_itself():
    code = """
import os, sys
from fasthep_parsl.resources import memory
memory.restart_peak()
child = os.fork()
if child == 0:
    before = memory.restart_peak()
    big = bytearray(b"x") * 50_000_000
    ok = memory.in_use() > before + 40_000_000 and memory.peak_since() > before + 40_000_000
    os._exit(0 if ok else 1)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
assert status == 0
before = memory.restart_peak()
big = bytearray(b"x") * 30_000_000
assert memory.in_use() > before + 20_000_000
assert before + 20_000_000 < memory.peak_since() < before + 70_000_000
"""
    large = np.ones(40 * MB)  # `getrusage` of a program tells of what has started it
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr
    del large


def test_without_proc_it_is_the_peak_since_the_start(monkeypatch):
    monkeypatch.setattr(memory, "_process", memory._Process())
    monkeypatch.setattr(memory, "_open", lambda name, flags: -1)
    assert memory.restart_peak() == memory.peak_since() == memory.peak() == memory.in_use()
