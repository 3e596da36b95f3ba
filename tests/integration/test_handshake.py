"""Workers with other software than the driver's are refused, one node at a time, and the results are those without them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from integration.cluster_runs import ClusterRun, write_site

TOTAL = 199 * 200 // 2
QUEUES = {"cpu": {"node": {"cpus": 8, "memory": "32GB"}, "walltime": "1d"}}
SLEEP = ("Sleep", "fault.sleep", {"seconds": 0.3})
NUMPY = version("numpy")


def other_numpy(folder):
    """Write a numpy 1.0 that nobody may import, with its metadata."""
    (folder / "numpy").mkdir(parents=True)
    (folder / "numpy" / "__init__.py").write_text("raise RuntimeError('this numpy must not be used')\n")
    info = folder / "numpy-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 1.0\n")
    return folder


@pytest.fixture
def other_prefix(tmp_path):
    """Return what makes a virtual environment: with the driver's packages behind its own, or with its own only."""

    def make(*, behind):
        prefix = tmp_path / "other"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(prefix)], check=True)
        (site,) = prefix.glob("lib/python3.*/site-packages")
        if behind:
            (site / "driver.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
        return prefix, site

    return make


def run(flow, *arguments, env=None):
    """Run a workflow to its end; return the exit code, the output and ``run.json``."""
    outdir = flow.parent / "run"
    command = [sys.executable, "-m", "fasthep_parsl", "run", str(flow), "--outdir", str(outdir), "--no-plots"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=200, env=env, check=False)
    summary = outdir / "run.json"
    return done.returncode, done.stdout + done.stderr, json.loads(summary.read_text()) if summary.exists() else {}


def folder(path):
    path.mkdir()
    return path


def use_prefix(flow, prefix, **fields):
    content = json.loads(flow.read_text())
    content["execution"]["environment"] = {"kind": "shared-prefix", "prefix": str(prefix), **fields}
    flow.write_text(json.dumps(content))


def test_every_node_of_a_run_is_in_its_summary(write_flow, tmp_path):
    code, output, summary = run(write_flow(tmp_path / "flow"))
    assert code == 0, output
    (group,) = summary["nodes"]
    assert group["software"]["numpy"] == NUMPY
    assert {"fasthep-parsl", "parsl", "awkward", "uproot", "numba"} <= group["software"].keys()
    assert (group["pool"], len(group["nodes"]), group["differences"]) == ("default", 1, [])
    assert summary["failed_nodes"] == []


def test_another_installation_on_this_machine(write_flow, tmp_path, other_prefix):
    """Every node is refused: the run ends soon, says why, has lost nothing, and goes on when it is repaired."""
    prefix, site = other_prefix(behind=True)
    flow = write_flow(tmp_path / "flow")
    use_prefix(flow, prefix)
    other_numpy(site)
    code, output, summary = run(flow)
    assert code == 1, output
    text = " ".join(output.split())
    assert f"`numpy` is 1.0 (driver: {NUMPY}) ({prefix}/bin/python, environment `shared-prefix`)" in text, output
    assert "allow: [numpy]" in text
    assert summary["partitions"]["failed"] == 0
    assert summary["nodes"] == []

    for path in (site / "numpy", site / "numpy-1.0.dist-info"):
        path.rename(tmp_path / path.name)
    code, output, summary = run(flow, "--resume")
    assert code == 0, output
    assert json.loads((flow.parent / "run" / "results" / "Sum" / "sum.json").read_text()) == TOTAL
    assert [group["differences"] for group in summary["nodes"]] == [[]]


def test_a_difference_that_is_permitted_is_shown(write_flow, tmp_path, other_prefix):
    """The other numpy is the driver's with another version number, so it computes the same."""
    prefix, site = other_prefix(behind=True)
    flow = write_flow(tmp_path / "flow")
    use_prefix(flow, prefix, allow="numpy")
    (site / "numpy").symlink_to(Path(np.__file__).parent)
    (site / "numpy.libs").symlink_to(Path(np.__file__).parents[1] / "numpy.libs")
    info = site / "numpy-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 1.0\n")
    code, output, summary = run(flow)
    assert code == 0, output
    difference = f"`numpy` is 1.0 (driver: {NUMPY})"
    assert [group["differences"] for group in summary["nodes"]] == [[difference]]
    assert any(difference in warning for warning in summary["warnings"])
    assert "permitted by `allow`" in " ".join(output.split())


def test_an_installation_that_can_be_read_is_refused_before_anything_starts(write_flow, tmp_path, other_prefix):
    prefix, site = other_prefix(behind=False)
    other_numpy(site)
    flow = write_flow(tmp_path / "flow")
    use_prefix(flow, prefix)
    code, output, summary = run(flow)
    text = " ".join(output.split())
    assert code == 4, output
    assert "`execution.environment` has other software than that of the driver" in text
    assert f"`numpy` is 1.0 (driver: {NUMPY})" in text
    assert "`awkward` is not installed" in text
    assert not list((flow.parent / "run").glob("log/blocks/*/*")), "nothing was started"
    assert summary["status"] == "failed"


@pytest.mark.slurm
def test_one_node_of_two_is_refused(slurm, write_flow, tmp_path):
    """Its two failures are seen, it is avoided, and the other node does all the work."""
    fake = other_numpy(tmp_path / "fake")
    init = [f'[ "$FASTHEP_PARSL_NODE" != c2 ] || export PYTHONPATH="{fake}:$PYTHONPATH"']
    pool = {"workers": 2, "resources": {"cpus": 8, "memory": "32GB"}}  # whole nodes: one block on each
    flow = write_flow(tmp_path, SLEEP, default=pool)
    site = write_site(tmp_path, "generic_slurm", queues=QUEUES, worker_init=init)
    started = ClusterRun(flow, site, "--chunk-size", "5", env=slurm.env)
    started.assert_complete(TOTAL)
    summary = started.summary()
    (refused,) = summary["failed_nodes"]
    assert refused["node"] == "c2"
    assert f"`numpy` is 1.0 (driver: {NUMPY})" in refused["message"]
    assert {node for group in summary["nodes"] for node in group["nodes"]} == {"c1"}
    assert {event["node"] for event in started.blocks("failed")} == {"c2"}
    assert started.events("lost") == []


@pytest.mark.slurm
def test_a_site_check_shows_software_and_differences(slurm, tmp_path):
    fake = other_numpy(tmp_path / "fake")
    fine = write_site(folder(tmp_path / "fine"), "generic_slurm", queues=QUEUES)
    init = [f'export PYTHONPATH="{fake}:$PYTHONPATH"']
    wrong = write_site(folder(tmp_path / "wrong"), "generic_slurm", queues=QUEUES, worker_init=init)
    texts = []
    env = {**os.environ, **slurm.env}
    for site in (fine, wrong):
        command = [sys.executable, "-m", "fasthep_parsl", "sites", "check", str(site), "--live"]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=150, env=env, cwd=site.parent, check=False
        )
        texts.append(" ".join((done.stdout + done.stderr).split()))
    assert f"numpy {NUMPY}, awkward {version('awkward')}" in texts[0]
    assert f"`numpy` is 1.0 (driver: {NUMPY})" in texts[1]
