"""Peaks of parts of a process's life."""

from __future__ import annotations

import os
import platform
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


PASSES = """
import os, resource, sys
import numpy as np
from fasthep_parsl.resources import memory
print(memory.keep_freed())
if os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for array in [np.empty(2_000_000) for _ in range(8)]:  # 128 MB
        array[::512] = 1
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults(), min(faults() for _ in range(5)))
"""


def passes(**environment):
    clean = {key: value for key, value in os.environ.items() if not key.startswith("MALLOC_")}
    command = [sys.executable, "-c", PASSES]
    done = subprocess.run(command, env=clean | environment, capture_output=True, text=True, check=True, timeout=60)
    kept, first, later = done.stdout.split()
    return kept == "True", int(first), int(later)


@pytest.mark.integration
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_freed_memory_is_kept_for_the_next_arrays_also_in_a_fork():
    kept, first, later = passes()
    assert kept
    assert first > 1000  # pages, or huge pages and some
    assert later < first / 20


@pytest.mark.integration
def test_who_has_set_how_memory_is_kept_is_obeyed():
    kept, first, later = passes(MALLOC_TRIM_THRESHOLD_="131072", MALLOC_MMAP_THRESHOLD_="131072")
    assert not kept
    assert later > first / 2
