"""Kernels in processes of their own: compiled once for all, on numba's simulator, and not at all where nobody asks."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import kernel_cases
from fasthep_parsl.kernels import cache

pytestmark = pytest.mark.integration

MODULE = """
from fasthep_parsl.kernels import float64, kernel

SCALE = 2.0


def scaled(x):
    return SCALE * x


@kernel
def fill(i, x, out):
    out[i] = scaled(float64(x[i]))
"""

MAIN = """
import json, sys, time
import numpy as np
import user_kernels
from fasthep_parsl.kernels import CompileTarget, compiling_for
from numba.core import event

class Compiled(event.Listener):
    times = 0
    def on_start(self, event): Compiled.times += 1
    def on_end(self, event): pass

seen = []
out = np.zeros(4)
with event.install_listener("numba:compile", Compiled()), compiling_for(CompileTarget("cpu", seen.append)):
    user_kernels.fill(4, np.ones(4, np.float32), out)
print(json.dumps({"out": out.tolist(), "ready": seen[0].ready, "seconds": seen[0].compiling, "times": Compiled.times}))
"""


@pytest.fixture
def user(tmp_path):
    (tmp_path / "user_kernels.py").write_text(MODULE)
    (tmp_path / "main.py").write_text(MAIN)
    return tmp_path


def start(folder):
    environment = {**os.environ, cache.VARIABLE: str(folder / "cache")}
    environment.pop("NUMBA_CACHE_DIR", None)
    return subprocess.Popen([sys.executable, "main.py"], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)


def result(process):
    text = process.communicate(timeout=120)[0]
    assert process.returncode == 0
    return json.loads(text)


def files(folder):
    return sorted(path.name for path in (folder / "cache").glob("*.py"))


def test_a_second_process_compiles_nothing_and_a_changed_source_is_compiled(user):
    # Two at once, on an empty cache: both may compile, both must be right.
    for found in [result(process) for process in (start(user), start(user))]:
        assert found["out"] == [2.0] * 4
    assert len(files(user)) == 1
    again = result(start(user))
    assert (again["out"], again["ready"], again["times"]) == ([2.0] * 4, "loaded", 0)
    assert stat.S_IMODE((user / "cache").stat().st_mode) == 0o700
    # A constant that a function uses which the kernel calls: numba itself would not notice.
    (user / "user_kernels.py").write_text(MODULE.replace("SCALE = 2.0", "SCALE = 3.0"))
    changed = result(start(user))
    assert (changed["out"], changed["ready"]) == ([3.0] * 4, "compiled")
    assert changed["times"] > 0
    assert len(files(user)) == 2
    # A generated file that was damaged is not used.
    for path in (user / "cache").glob("*.py"):
        path.write_text("def loop(*_): raise SystemExit")
    assert result(start(user))["out"] == [3.0] * 4


def test_the_simulator_gives_the_bits_of_plain_python(tmp_path):
    cases = Path(kernel_cases.__file__)
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1"}
    command = [sys.executable, "-W", "error", str(cases), str(tmp_path / "found.npz")]
    said = subprocess.run(command, env=environment, check=True, timeout=120, stdout=subprocess.PIPE, text=True).stdout
    found = np.load(tmp_path / "found.npz")
    for case in kernel_cases.CASES:
        for name, values in kernel_cases.run(case, kernel_cases.plain).items():
            assert found[f"{case}/{name}"].tobytes() == values.tobytes(), (case, name)
    # The modifier: nothing lies on the GPU, so each call copies, and results back.
    note = json.loads(said)
    assert note["devices"] == ["simulator"]
    assert note["kernels"]["mark_overlaps (gpu)"]["bytes_copied"] > 1000
    removed = kernel_cases.cleaned(None, {})["nremoved_cleaned_Jet"]
    assert found["cleaned"].tolist() == removed.tolist()
    assert removed.any()


def test_ops_do_not_import_numba():
    code = (
        "import sys, numpy as np, awkward as ak\n"
        "from fasthep_parsl.ops.clean import Clean, clean\nfrom fasthep_parsl.ops.combinations import BuildPairs, build_pairs\n"
        "from fasthep_parsl.ops.stream import Events\nimport fasthep_parsl.modifiers.cuda_jit\n"
        "c = {f'{k}_{f}': ak.Array([[1., 2.]]) for k in 'AB' for f in ('pt', 'eta', 'phi', 'mass')}\n"
        "clean(Events(c, 1), params=Clean(source='A', clean_against=['B']))\n"
        "build_pairs(Events(c, 1), params=BuildPairs(collections=['A'], output='X'))\n"
        "sys.exit('numba' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
