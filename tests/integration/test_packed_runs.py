"""One workflow with the user's own package, from packed environments: results as anywhere, with nothing on the nodes before."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from fasthep_parsl.driver.api import run
from integration.cluster_runs import ClusterRun, differences, results, write_site
from lean_environment import ROOT, cache, lean_environment
from services.fixtures_condor import used
from services.fixtures_slurm import used as used_slurm

HERE = Path(__file__).parent
CONFIGS = ROOT / "configs"
ANALYSIS = HERE / "packed_analysis"
CONDOR_QUEUES = {
    "cpu": {"node": {"cpus": 8, "memory": "32GB"}, "walltime": "1d"},
    "himem": {"node": {"cpus": 16, "memory": "256GB"}, "walltime": "1d"},
    "gpu": {"node": {"cpus": 8, "memory": "64GB", "gpus": 2}, "walltime": "1d"},
}
TWO_NODES = {
    "cpu": {"node": {"cpus": 4, "memory": "6GB"}, "walltime": "1d", "min_nodes": 2, "max_nodes": 2},
    "highmem": {"node": {"cpus": 8, "memory": "256GB"}, "walltime": "1d"},
    "gpu": {"node": {"cpus": 8, "memory": "64GB", "gpus": 2}, "walltime": "1d"},
}
UNPACKED = "unpacked the environment"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """What only the driver sees: workflows, analysis code, run directories."""
    return tmp_path_factory.mktemp("hidden")


@pytest.fixture(scope="module")
def lean():
    return lean_environment()


@pytest.fixture(scope="module")
def store():
    """The store of archives, kept between sessions: an unchanged environment is packed once."""
    (cache() / "packed").mkdir(parents=True, exist_ok=True)
    return {"FASTHEP_PARSL_CACHE": str(cache() / "packed")}


@pytest.fixture(scope="module")
def hidden(home, lean, store):
    """The folders of the driver that jobs must not see: checkout, environment, Python, workflow."""
    places = [home, ROOT, lean, Path(store["FASTHEP_PARSL_CACHE"]), Path(sys.base_prefix)]
    return [place for place in places if not place.is_relative_to("/usr")]


@pytest.fixture(scope="module")
def flow(home, demo_data, hidden):
    """The shipped workflow with three pools, and two stages of a user with a package."""
    folder = home / "analysis"
    shutil.copytree(ANALYSIS, folder)
    shutil.copyfile(CONFIGS / "heterogeneous_ops.py", folder / "heterogeneous_ops.py")
    content = yaml.safe_load((CONFIGS / "heterogeneous.yaml").read_text())
    for dataset in content["data"]["datasets"]:
        dataset["files"] = [str(demo_data / Path(name).name) for name in dataset["files"]]
    content["use"]["modules"].append("analysis_ops.py")
    content["analysis"]["stages"] += [
        {"id": "Total", "op": "user.total", "needs": []},
        {"id": "Place", "op": "user.place", "needs": [], "params": {"folders": [str(place) for place in hidden]}},
    ]
    (folder / "flow.yaml").write_text(json.dumps(content))  # JSON is YAML
    return folder / "flow.yaml"


@pytest.fixture(scope="module")
def oracle(flow):
    """The results, computed in this process."""
    found = run(flow, "local", outdir=flow.parent / "oracle", chunk_size=100, plots=False,
                overrides=["backend=local", "pools.gpu.resources.gpus=0"])  # fmt: skip
    assert found.status == "complete"
    return without_places(results(found.run_dir))


def without_places(found):
    return {name: value for name, value in found.items() if not name.startswith("Place/")}


def places(run):
    """Return what the workers have seen: (node, prefix, environment hash, package of the user, folders of the driver)."""
    rows = json.loads((run.run_dir / "results/Place/place.json").read_text())
    return [tuple(row.split("|")) for row in rows]


def said(run):
    """Return what all blocks have said."""
    return "\n".join(p.read_text(errors="replace") for p in (run.run_dir / "log/blocks").rglob("*") if p.is_file())


def copied(flow, name, **params):
    """Return the same workflow, in a folder of its own for its run directory, with more parameters of `user.place`."""
    folder = flow.parent.with_name(name)
    shutil.copytree(flow.parent, folder, ignore=shutil.ignore_patterns("oracle"))
    content = json.loads((folder / "flow.yaml").read_text())
    content["analysis"]["stages"][-1]["params"] |= params
    (folder / "flow.yaml").write_text(json.dumps(content))
    return folder / "flow.yaml"


def complete(run, oracle, seconds):
    """Wait for the end; all results must be those of the oracle."""
    code, output, _ = run.end(seconds)
    assert code == 0, f"{output}\n{said(run)[-4000:]}"
    assert run.summary()["status"] == "complete"
    found = without_places(results(run.run_dir))
    assert found.keys() == oracle.keys()
    assert differences(oracle, found) == []


@pytest.fixture(scope="module")
def blind(make_condor_pool, hidden):
    with used(make_condor_pool(hide=hidden)) as pool:
        yield pool


@pytest.mark.condor
def test_nothing_of_it_is_on_the_worker_before(blind, hidden, home):
    folder = home / "look"
    folder.mkdir()
    listed = " ".join(map(str, hidden))
    text = (
        f"executable = /bin/ls\narguments = -A {listed}\noutput = out\nlog = log\nshould_transfer_files = YES\nqueue\n"
    )
    blind.wait(blind.submit(text, folder), "completed")
    assert sorted((folder / "out").read_text().split()) == sorted(f"{place}:" for place in hidden)


@pytest.mark.condor
def test_a_packed_prefix_where_nothing_is_shared(blind, flow, oracle, lean, store, demo_data, tmp_path):
    site = write_site(
        tmp_path, "generic_htcondor", shared_filesystem=False, shared_folders=[str(demo_data)], queues=CONDOR_QUEUES,
        scaling={"poll": "1s"}, environment={"kind": "packed-prefix", "prefix": str(lean)},
    )  # fmt: skip
    found = ClusterRun(copied(flow, "condor-prefix"), site, "--chunk-size", "100", env={**blind.env, **store})
    complete(found, oracle, 240)
    check_nodes(found, blind)


@pytest.mark.condor
def test_a_pixi_project_where_nothing_is_shared(blind, flow, oracle, store, demo_data, tmp_path, home):
    """Its packages come from a channel in a folder, installed by py-rattler."""
    for package in ("rattler", "installer"):
        pytest.importorskip(package)
    from services.pixi_projects import complete_project

    manifest = complete_project(home / "pixi-project")
    environment = {"kind": "packed-pixi", "manifest": str(manifest), "tool": "py-rattler"}
    site = write_site(
        tmp_path, "generic_htcondor", shared_filesystem=False, shared_folders=[str(demo_data)], queues=CONDOR_QUEUES,
        scaling={"poll": "1s"}, environment=environment,
    )  # fmt: skip
    packages = {"RATTLER_CACHE_DIR": str(cache() / "rattler")}
    found = ClusterRun(copied(flow, "condor-pixi"), site, "--chunk-size", "100", env={**blind.env, **store, **packages})
    complete(found, oracle, 280)
    check_nodes(found, blind)


def check_nodes(found, pool):
    """Every worker had the environment of the archive, the user's package, and nothing of the driver's folders."""
    assert {event["pool"] for event in found.events("block")} == {"default", "high_memory", "gpu"}
    rows = places(found)
    assert rows
    for _, prefix, environment, code, seen in rows:
        assert re.fullmatch(r"[0-9a-f]{64}", environment)
        assert re.search(rf"/execute/dir_\d+/.*/environments/{environment}$", prefix), (
            "in the scratch folder of its job"
        )
        assert not code.startswith(str(found.run_dir.parent))
        assert seen == ""
    for job in pool.history():
        if job.ad["Iwd"].startswith(str(found.run_dir)):
            names = {Path(name).name for name in job.ad["EncryptInputFiles"].split(",")}
            assert names == {"client.key_secret", "server.key"}


@pytest.mark.slurm
def test_each_node_of_a_block_unpacks_once(make_slurm, flow, oracle, lean, store, tmp_path):
    """The nodes of the test cluster are one machine: each gets a scratch folder of its own."""
    (tmp_path / "scratch").mkdir()
    (tmp_path / "meeting").mkdir()
    environment = {"kind": "packed-prefix", "prefix": str(lean), "cache": f"{tmp_path}/scratch/$SLURMD_NODENAME"}
    cluster = make_slurm()
    site = write_site(tmp_path, "generic_slurm", queues=TWO_NODES, environment=environment)
    workers = ("--set", "execution.pools.default.workers=8", "--set", "execution.pools.gpu.resources.gpus=0")
    with used_slurm(cluster):
        found = ClusterRun(
            copied(flow, "slurm-prefix", meeting=str(tmp_path / "meeting"), nodes=2),
            site,
            "--chunk-size",
            "50",
            *workers,
            env={**cluster.env, **store},
        )
        complete(found, oracle, 200)
    block = next(e for e in found.events("block") if e["pool"] == "default" and e["state"] == "submitted")
    nodes = set(cluster.job_nodes(int(block["job"])))
    assert nodes == {"c1", "c2"}
    rows = places(found)
    assert {row[0] for row in rows} == nodes, "tasks have run on both"
    assert all(row[1].startswith(f"{tmp_path}/scratch/{row[0]}/") for row in rows)
    starts = [p.parent.name for p in (tmp_path / "scratch").glob("*/fasthep-parsl-*")]
    assert sorted(starts) == sorted({e["node"] for e in found.events("block") if e.get("node")} | nodes)
    assert said(found).count(UNPACKED) == len(starts), "one extraction per node, however many workers"


@pytest.mark.slurm
def test_the_same_workflow_from_a_shared_prefix(make_slurm, flow, oracle, lean, tmp_path):
    cluster = make_slurm()
    environment = {"kind": "shared-prefix", "prefix": str(lean)}
    site = write_site(tmp_path, "generic_slurm", queues=TWO_NODES, environment=environment)
    with used_slurm(cluster):
        found = ClusterRun(copied(flow, "slurm-shared"), site, "--chunk-size", "100",
                           "--set", "execution.pools.gpu.resources.gpus=0", env=cluster.env)  # fmt: skip
        complete(found, oracle, 120)
    assert {row[1] for row in places(found)} == {str(lean)}
    assert UNPACKED not in said(found)
