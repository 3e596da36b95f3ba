"""The benchmarks count the CPU of every process of a tree, also of those that nobody waits for."""

from __future__ import annotations

import importlib.util
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

BURN = "import time\nend = time.process_time() + {seconds}\nwhile time.process_time() < end: pass\n"

DAEMON = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:          # the parent ends first: nobody of this tree waits for it
        time.sleep(0.2)
        {burn}
    os._exit(0)
"""


@pytest.fixture(scope="module")
def measure():
    if not sys.platform.startswith("linux"):
        pytest.skip("needs Linux")
    spec = importlib.util.spec_from_file_location("benchmark_measure", ROOT / "benchmarks" / "measure.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.measure


def test_daemons_are_counted(measure):
    burn = BURN.format(seconds=0.4).replace("\n", "\n        ")
    idle = measure([sys.executable, "-c", "pass"])
    used = measure([sys.executable, "-c", DAEMON.format(burn=burn)])
    assert used.returncode == 0
    assert used.processes >= 2
    assert used.cpu - idle.cpu == pytest.approx(0.4, abs=0.2)
    assert used.wall < used.gone


def test_own_cpu_memory_and_exit_code(measure):
    code = "block = b'x' * 200_000_000\n" + BURN.format(seconds=0.3) + "print('done')\nraise SystemExit(3)"
    used = measure([sys.executable, "-c", code])
    assert used.returncode == 3
    assert used.cpu > 0.3
    assert 200e6 < used.peak_memory < 600e6
    assert used.output == "done\n"


@pytest.mark.slow
def test_what_never_ends_is_ended(measure, tmp_path):
    marker = tmp_path / "pid"
    code = f"import os, time; open({str(marker)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    start = time.perf_counter()
    with pytest.raises(TimeoutError, match="still ran after"):
        measure([sys.executable, "-c", code], limit=1)
    assert time.perf_counter() - start < 20
    assert not Path("/proc", marker.read_text()).exists()
