"""A view of experiment software, set up by lines of the environment: once per node, and workers keep its variables."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from integration.cluster_runs import ClusterRun, write_site
from services.fixtures_slurm import used

HERE = Path(__file__).parent
VIEW = """\
# like views on CVMFS: it asks for what is not there, and goes on
test -e /nowhere/compiler
export VIEW_STARTS=$((${VIEW_STARTS:-0} + 1))
export LCG_VERSION="LCG 107"
export LD_LIBRARY_PATH=@/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export PYTHONPATH=@/python${PYTHONPATH:+:$PYTHONPATH}
echo "$SLURMD_NODENAME" >>@/starts
false
alias cmsenv='export CMSSW_VERSION=CMSSW_14_1_0'
"""
NAMES = ["LCG_VERSION", "CMSSW_VERSION", "LD_LIBRARY_PATH", "VIEW_STARTS", "ORDER"]
QUEUES = {"cpu": {"node": {"cpus": 8, "memory": "64GB"}, "walltime": "1d", "min_nodes": 2, "max_nodes": 2}}


@pytest.fixture
def view(tmp_path):
    """A folder that looks like a view, with a module of its own."""
    folder = tmp_path / "view"
    (folder / "python").mkdir(parents=True)
    (folder / "python" / "view_module.py").write_text('WHO = "the view"\n')
    (folder / "setup.sh").write_text(VIEW.replace("@", str(folder)))
    return folder


def write_workflow(folder, data, module):
    folder.mkdir()
    shutil.copyfile(HERE / "container_ops.py", folder / "container_ops.py")
    params = {"names": NAMES, "module": module}
    content = {
        "version": "1.0",
        "use": {"modules": ["container_ops.py"]},
        "data": {"datasets": [{"name": "small", "files": [str(data)]}]},
        "sources": {"events": {"kind": "root_tree", "tree": "Events"}},
        "analysis": {"stages": [{"id": "Seen", "op": "software.seen", "needs": [], "params": params}]},
        "execution": {"pools": {"default": {"workers": 8}}},
    }
    (folder / "flow.yaml").write_text(json.dumps(content))  # JSON is YAML
    return folder / "flow.yaml"


def environment(view, **fields):
    lines = [f"source {view}/setup.sh", "cmsenv # a release", 'export ORDER="setup"']
    return {"kind": "shared-prefix", "setup": lines, **fields}


SITE_LINES = ['export ORDER="$ORDER, $(basename "$(dirname "$(command -v python3)")"), site"']


def check(run, view):
    rows = run.product("Seen", "seen")
    for row in rows:
        assert row["module"] == "the view"
        assert row["python"] == sys.executable
        assert row["variables"]["LCG_VERSION"] == "LCG 107"
        assert row["variables"]["CMSSW_VERSION"] == "CMSSW_14_1_0"
        assert row["variables"]["LD_LIBRARY_PATH"].split(":")[0] == f"{view}/lib"
        assert row["variables"]["ORDER"] == "setup, bin, site"
        assert row["variables"]["VIEW_STARTS"] == "1"
    return rows


def test_in_a_local_block(counted, tmp_path, view):
    site = write_site(tmp_path, "local", environment=environment(view), worker_init=SITE_LINES)
    run = ClusterRun(write_workflow(tmp_path / "flow", counted, "view_module"), site, env={})
    code, output, _ = run.end()
    assert code == 0, output
    check(run, view)
    assert len((view / "starts").read_text().splitlines()) == 1


@pytest.mark.slurm
def test_once_per_node_of_a_slurm_job(counted, tmp_path, view, make_slurm):
    keys = {"queues": QUEUES, "environment": environment(view), "worker_init": SITE_LINES}
    site = write_site(tmp_path, "generic_slurm", **keys)
    cluster = make_slurm()
    with used(cluster):
        run = ClusterRun(write_workflow(tmp_path / "flow", counted, "view_module"), site, env=cluster.env)
        code, output, _ = run.end()
    assert code == 0, output
    check(run, view)
    # once per node, which has four workers
    assert sorted((view / "starts").read_text().split()) == ["c1", "c2"]


@pytest.mark.slurm
def test_a_line_that_fails_ends_the_block_with_its_text(counted, tmp_path, view, make_slurm):
    broken = environment(view, setup=["source /cvmfs/not.there/setup.sh"])
    site = write_site(tmp_path, "generic_slurm", queues=QUEUES, environment=broken)
    cluster = make_slurm()
    with used(cluster):
        run = ClusterRun(write_workflow(tmp_path / "flow", counted, "view_module"), site, env=cluster.env)
        code, output, _ = run.end()
    assert code not in (0, 3), output
    assert "worker_init ended with code 1 at: source /cvmfs/not.there/setup.sh" in output.replace("\n", " ")
