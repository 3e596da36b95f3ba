import os
import stat

import pytest

from fasthep_parsl.resources.machine import count_gpus, this_machine


@pytest.fixture
def two_gpus(tmp_path, monkeypatch):
    """An `nvidia-smi` that lists two GPUs."""
    command = tmp_path / "nvidia-smi"
    command.write_text("#!/bin/sh\necho 'GPU 0: H200 (UUID: GPU-a)'\necho 'GPU 1: H200 (UUID: GPU-b)'\n")
    command.chmod(command.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_this_machine_has_what_the_process_may_use():
    machine = this_machine()
    assert machine.cpus == len(os.sched_getaffinity(0))
    assert 10**8 < machine.memory <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert machine.gpus >= 0


@pytest.mark.parametrize(
    ("visible", "count"),
    [(None, 2), ("0", 1), ("0,1", 2), ("", 0), ("-1", 0), ("1,-1,0", 1), ("0,0", 1), ("NoDevFiles", 0), ("0,1,2", 2)],
)
def test_visible_gpus_are_counted(two_gpus, monkeypatch, visible, count):
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert count_gpus() == count


def test_a_hanging_driver_does_not_hang_planning(tmp_path, monkeypatch):
    command = tmp_path / "nvidia-smi"
    command.write_text("#!/bin/sh\nexec sleep 30\n")
    command.chmod(command.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert count_gpus(timeout=0.2) >= 0
