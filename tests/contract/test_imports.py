"""Looking costs nothing: what imports what, each tried in a process of its own."""

from __future__ import annotations

import json
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import fasthep_parsl

pytestmark = pytest.mark.integration
PACKAGE = Path(fasthep_parsl.__file__).parent
ROOT = PACKAGE.parent
HEAVY = {
    "parsl",
    "awkward",
    "numba",
    "uproot",
    "cupy",
    "hist",
    "boost_histogram",
    "matplotlib",
    "mplhep",
    "globus_compute_sdk",
    "cryptography",
    "jwt",
    "scitokens",
}


def python(code, *arguments, **environment):
    done = subprocess.run(
        [sys.executable, "-W", "error::ImportWarning", "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=1000,  # of all modules: pytest has a limit for each test
        check=False,
        env={**os.environ, **environment},
        cwd="/",
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(1000)
def test_every_module_can_be_imported_alone():
    names = [info.name for info in pkgutil.walk_packages([str(PACKAGE)], "fasthep_parsl.")]
    names.remove("fasthep_parsl.__main__")
    assert len(names) > 80
    # A process that has imported what is not ours is forked for each module.
    code = """
import gc, importlib, json, os, sys, warnings
warnings.simplefilter("ignore")  # threads and fork: nothing but an import happens in the child
names = json.loads(sys.argv[1])
for name in names:
    importlib.import_module(name)
for name in [name for name in sys.modules if name.split(".")[0] == "fasthep_parsl"]:
    del sys.modules[name]
gc.disable()
gc.freeze()
bad = []
for name in names:
    child = os.fork()
    if child == 0:
        try:
            importlib.import_module(name)
        except BaseException as error:
            print(f"{name}: {type(error).__name__}: {error}", flush=True)
            os._exit(1)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        bad.append(name)
sys.exit(1 if bad else 0)
"""
    python(code, json.dumps(names))


SEEN = "import json, sys; print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"


@pytest.mark.parametrize(
    "code",
    [
        "import fasthep_parsl",
        "from fasthep_parsl import op, run, compile_plan",
        "import fasthep_parsl.cli.main",
        "from fasthep_parsl import registry\nfor group in registry.GROUPS: registry.names(group)",
    ],
)
def test_importing_is_light(code):
    assert not HEAVY & set(json.loads(python(f"{code}\n{SEEN}")))


CLI = """
import contextlib, io, sys
from fasthep_parsl.cli.main import invoke
with contextlib.redirect_stdout(io.StringIO()):
    code = invoke(sys.argv[1:])
assert code == 0, code
"""


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["plan", "--help"], ["--version"]], ids=" ".join)
def test_help_is_light(arguments):
    assert not HEAVY & set(json.loads(python(CLI + SEEN, *arguments)))


def test_planning_is_light_once_headers_are_known(flow, small_files, tmp_path):
    stages = [
        flow.stage("Sel", "hep.selection.cutflow", [], selection=["x > 3"]),
        flow.stage("Jets", "hep.select_objects", collection="Jet", output="Good", selection=["pt > 1"], keep=["pt"]),
        flow.stage(
            "H",
            "hep.hist",
            axes=[{"name": "x", "source": "x", "type": "regular", "bins": {"nbins": 4, "low": 0, "high": 9}}],
        ),
        flow.stage("W", "hep.write", ["Jets"], format="parquet"),
    ]
    flow.write(stages, [small_files / "a.root"], use={"modules": []})
    cache = {"FASTHEP_PARSL_CACHE": str(tmp_path / "cache")}
    first = set(json.loads(python(CLI + SEEN, "plan", str(flow.path), **cache)))
    again = set(json.loads(python(CLI + SEEN, "plan", str(flow.path), **cache)))
    assert not {"parsl", "numba", "hist", "matplotlib", "cupy"} & first
    assert "uproot" in first
    assert not HEAVY & again


def test_processes_that_plan_start_no_process(flow, small_files):
    code = (
        """
import os, subprocess, sys
def refuse(*args, **kwargs):
    raise AssertionError(f"planning started {args}")
os.fork = os.posix_spawn = refuse
from fasthep_parsl.resources import machine
machine.count_gpus = lambda *a: 0  # asks nvidia-smi, once
subprocess.Popen.__init__ = refuse
"""
        + CLI
    )
    flow.write([flow.stage("T", "probe.sum")], [small_files / "a.root"])
    python(code, "plan", str(flow.path))
