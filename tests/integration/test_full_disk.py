"""A disk that becomes full: said in words with its folder, nothing counted that is not there, and `--resume` goes on."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import uproot

TINY = """\
cd "$1" && mount -t tmpfs -o size="$2" tmpfs tiny || exit 99
shift 2
python=$1; shift
run() { "$python" -m fasthep_parsl run w.yaml --outdir tiny/run --chunk-size 100 "$@"; echo "code $?"; }
run "$@"
cp tiny/run/run.json first.json 2>/dev/null
find tiny >left.txt
mount -o remount,size=20m tiny
[ -e tiny/run/run.json ] && run --resume "$@" && cp tiny/run/run.json second.json && cp tiny/run/results/X/hist.json hist.json
exit 0
"""
WORKFLOW = """\
version: "1.0"
data: {datasets: [{name: d, files: [a.root]}]}
sources: {events: {kind: root_tree, tree: Events}}
analysis:
  stages:
    - {id: X, op: hep.hist, params: {axes: [{name: x, source: x, bins: {nbins: 20000, low: 0, high: 1000}}]}}
execution: {pools: {default: {workers: 2, resources: {memory: 1GB}}}}
"""


def mounts():
    """Return the command that gives a mount namespace of its own, None if there is none."""
    for words in (["unshare", "-m"], ["unshare", "-rm"]):
        if (
            shutil.which("unshare")
            and subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0
        ):
            return words
    return None


@pytest.mark.skipif(mounts() is None, reason="no mount namespace of one's own here")
@pytest.mark.parametrize(
    ("size", "backend"), [("350k", "local"), ("460k", "local"), ("350k", "parsl"), ("700k", "parsl")]
)
def test_a_full_disk(tmp_path, size, backend):
    with uproot.recreate(tmp_path / "a.root") as file:
        file.mktree("Events", {"x": "f8"}).extend({"x": np.arange(1000.0)})
    (tmp_path / "w.yaml").write_text(WORKFLOW)
    (tmp_path / "tiny").mkdir()
    words = [*mounts(), "bash", "-c", TINY, "bash", str(tmp_path), size, sys.executable]
    found = subprocess.run([*words, "--backend", backend], capture_output=True, text=True, check=False, timeout=240,
                           env={**os.environ, "COLUMNS": "200"})  # fmt: skip
    said = found.stdout + found.stderr
    assert found.returncode == 0, said
    assert "Traceback" not in said
    assert "Logging error" not in said
    assert "Errno" not in said
    assert f"the disk of {tmp_path}/tiny/run" in said
    assert "is full: free some space" in said
    first = json.loads((tmp_path / "first.json").read_text())
    assert (first["status"], first["exit_code"]) == ("failed", 1)
    assert first["failures"] == [], "no partition is to blame"
    left = [Path(line).name for line in (tmp_path / "left.txt").read_text().splitlines()]
    assert "reserve" not in left
    assert [name for name in left if name.startswith(".")] == [], "nothing half-written"
    assert said.count("code 1") == 1
    assert said.count("code 0") == 1
    second = json.loads((tmp_path / "second.json").read_text())
    assert second["status"] == "complete"
    assert second["events"]["done"] == 1000
    import hist
    import uhi.io.json

    made = hist.Hist(json.loads((tmp_path / "hist.json").read_text(), object_hook=uhi.io.json.object_hook))
    assert made.values().sum() == 1000


@pytest.mark.skipif(mounts() is None, reason="no mount namespace of one's own here")
def test_a_disk_that_is_full_from_the_start(tmp_path):
    with uproot.recreate(tmp_path / "a.root") as file:
        file.mktree("Events", {"x": "f8"}).extend({"x": np.arange(1000.0)})
    (tmp_path / "w.yaml").write_text(WORKFLOW)
    (tmp_path / "tiny").mkdir()
    words = [*mounts(), "bash", "-c", TINY, "bash", str(tmp_path), "64k", sys.executable, "--backend", "local"]
    found = subprocess.run(words, capture_output=True, text=True, check=False, timeout=100)
    assert "error[E161]" in found.stderr
    assert "is full" in found.stderr
    assert "nothing was started" in found.stderr
    assert (tmp_path / "left.txt").read_text() == "tiny\n"
