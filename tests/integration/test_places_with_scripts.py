"""A run in a folder full of the user's scripts, which have the names of libraries: none of them is imported instead."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

OPS = """\
import helper

from fasthep_parsl import op


@op("my.twice", reads=["x"], writes=["y"])
def twice(events):
    return {"y": helper.FACTOR * events.x}
"""
SCRIPTS = ("hist", "uproot", "select", "random", "queue", "token", "struct", "zmq", "parsl", "ctypes", "awkward")
PYTHONS_OWN = ("types", "copy", "runpy")
"""`python -m` imports these before any of our code, from the current folder."""


@pytest.fixture
def folder(flow, small_files):
    (flow.folder / "my_ops.py").write_text(OPS)
    (flow.folder / "helper.py").write_text("FACTOR = 2\n")
    for name in SCRIPTS:
        (flow.folder / f"{name}.py").write_text("raise SystemExit('a script of the user was imported')\n")
    axes = [{"name": "y", "source": "y", "bins": {"nbins": 10, "low": 0, "high": 300}}]
    stages = [flow.stage("Twice", "my.twice"), flow.stage("H", "hep.hist", axes=axes)]
    flow.write(stages, [small_files / "a.root"], use={"modules": ["my_ops.py"]})
    return flow.folder


@pytest.mark.parametrize("backend", ["local", "parsl"])
@pytest.mark.parametrize("start", ["script", "module", "empty entry"])
def test_scripts_with_names_of_libraries_do_not_matter(folder, backend, start):
    if start == "script":
        for name in PYTHONS_OWN:
            (folder / f"{name}.py").write_text((folder / "hist.py").read_text())
    script = [str(Path(sys.executable).parent / "fasthep-parsl")]
    command = [sys.executable, "-m", "fasthep_parsl"] if start == "module" else script
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    if start == "empty entry":  # Python itself takes what it needs from there, before any of our code
        for name in ("select", "random", "queue", "token", "struct", "ctypes"):
            (folder / f"{name}.py").unlink()
        environment["PYTHONPATH"] = f"{folder / 'nowhere'}{os.pathsep}"
    done = subprocess.run(
        [*command, "run", "flow.yaml", "--outdir", "out", "--set", f"execution.backend={backend}"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert (folder / "out/results/H/hist.json").exists()
