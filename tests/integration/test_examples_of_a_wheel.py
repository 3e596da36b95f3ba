"""A wheel that is installed outside of the checkout has the examples, and they run as `examples` says."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
START = "import sys; from fasthep_parsl.cli.main import main; main()"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The package in a folder of its own; its dependencies are those of this installation."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "site")
    return folder / "site"


@pytest.mark.integration
@pytest.mark.network
def test_the_commands_that_it_prints_work(installed, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(installed)}

    def command(*arguments, folder):
        line = [sys.executable, "-P", "-c", START, *arguments]
        return subprocess.run(line, check=False, cwd=folder, env=environment, capture_output=True, text=True)

    where = command("examples", str(installed / "fasthep_parsl"), folder=tmp_path)
    assert where.returncode == 2
    copied = command("examples", "mine", folder=tmp_path)
    assert copied.returncode == 0, copied.stderr
    mine = tmp_path / "mine"
    refused = command("plan", str(installed / "fasthep_parsl" / "configs" / "dimuon.yaml"), folder=tmp_path)
    assert "fasthep-parsl examples FOLDER" in refused.stderr
    steps = [line.split()[1:] for line in copied.stdout.splitlines() if line.startswith("  fasthep-parsl")]
    assert [step[0] for step in steps] == ["demo-data", "run"]
    for step in steps:
        more = ["--events", "2000"] if step[0] == "demo-data" else ["--backend", "local", "--quiet"]
        done = command(*step, *more, folder=mine)
        assert done.returncode == 0, done.stdout + done.stderr
    assert (mine / "run" / "plots" / "DimuonMass.png").is_file()
