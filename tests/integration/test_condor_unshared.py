"""Runs on a pool whose jobs see nothing of the driver's folders: all that they need comes with them, and goes back."""

from __future__ import annotations

import json
import shutil
import signal
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from fasthep_parsl.driver.api import run
from integration.cluster_runs import ClusterRun, differences, results, write_site
from services.fixtures_condor import used

pytestmark = pytest.mark.condor

CONFIGS = Path(__file__).parents[2] / "configs"
QUEUES = {
    "cpu": {"node": {"cpus": 8, "memory": "32GB"}, "walltime": "1d"},
    "himem": {"node": {"cpus": 16, "memory": "256GB"}, "walltime": "1d"},
    "gpu": {"node": {"cpus": 8, "memory": "64GB", "gpus": 2}, "walltime": "1d"},
}
SKIM = {
    "id": "Skim",
    "op": "hep.write",
    "needs": ["Features"],
    "params": {"format": "parquet", "fields": ["muon_pt", "jet_ht", "Jet_pt"]},
}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """What only the driver sees: the workflow, its module, the run directories."""
    return tmp_path_factory.mktemp("hidden")


@pytest.fixture(scope="module")
def blind(make_condor_pool, home):
    with used(make_condor_pool(hide=[home, CONFIGS])) as pool:
        yield pool


@pytest.fixture
def flow(home, demo_data, request):
    """The shipped workflow with three pools, a module, a stream that crosses pools, a bound product, and a skim."""
    folder = home / request.node.name
    folder.mkdir()
    content = yaml.safe_load((CONFIGS / "heterogeneous.yaml").read_text())
    for dataset in content["data"]["datasets"]:
        dataset["files"] = [str(demo_data / Path(name).name) for name in dataset["files"]]
    content["analysis"]["stages"].append(SKIM)
    (folder / "flow.yaml").write_text(json.dumps(content))  # JSON is YAML
    shutil.copyfile(CONFIGS / "heterogeneous_ops.py", folder / "heterogeneous_ops.py")
    return folder / "flow.yaml"


@pytest.fixture
def site(tmp_path, demo_data, counted):
    keys = {
        "shared_filesystem": False,
        "shared_folders": [str(demo_data), str(counted.parent)],
        "environment": {"kind": "image", "python": sys.executable},
        "queues": QUEUES,
        "scaling": {"poll": "1s"},
    }
    return write_site(tmp_path, "generic_htcondor", **keys)


PACKAGE = {
    "my_ops.py": """
import json
from importlib import resources
from fasthep_parsl import op
from myanalysis.scale import scaled

@op("my.scaled", reads=["x"], product="sums", merge=lambda a, b: {"n": a["n"] + b["n"]}, per_partition=True)
def scaled_sum(events):
    table = json.loads((resources.files("myanalysis") / "tables" / "sf.json").read_text())
    return {"n": table["sf"] * scaled(len(events))}
""",
    "myanalysis/__init__.py": "",
    "myanalysis/scale.py": "from .constants import FACTOR\ndef scaled(n):\n    from myanalysis.late import OFFSET\n    return FACTOR * n + OFFSET\n",
    "myanalysis/constants.py": "FACTOR = 2\n",
    "myanalysis/late.py": "OFFSET = 0\n",
    "myanalysis/tables/sf.json": '{"sf": 3}',
}
"""A package with a data file that nobody lists."""


def write_package_flow(folder, counted, **files):
    for name, text in {**PACKAGE, **files}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    content = {
        "version": "1.0",
        "use": {"modules": ["my_ops.py"]},
        "data": {"datasets": [{"name": "d", "files": [str(counted)]}]},
        "sources": {"events": {"kind": "root_tree", "tree": "Events"}},
        "analysis": {"stages": [{"id": "Scaled", "op": "my.scaled"}]},
        "execution": {"backend": "parsl", "pools": {"default": {"workers": 1}}},
    }
    (folder / "flow.yaml").write_text(json.dumps(content))
    return folder / "flow.yaml"


def test_a_package_that_nobody_listed_travels_with_its_data(blind, home, counted, site):
    flow = write_package_flow(home / "package", counted)
    found = ClusterRun(flow, site, "--chunk-size", "100", env=blind.env)
    code, output, _ = found.end()
    assert code == 0, output
    assert json.loads((found.run_dir / "results" / "Scaled" / "sums.json").read_text()) == {"n": 200 * 2 * 3}


def test_a_module_that_nodes_do_not_have_is_named(blind, home, counted, site):
    text = PACKAGE["my_ops.py"].replace("from myanalysis.scale import scaled", "from hidden_here import scaled")
    library = home / "library" / "site-packages"
    library.mkdir(parents=True)
    (library / "hidden_here.py").write_text("def scaled(n):\n    return n\n")
    flow = write_package_flow(home / "missing", counted, **{"my_ops.py": text})
    found = ClusterRun(flow, site, "--chunk-size", "20", env={**blind.env, "PYTHONPATH": str(library)})
    code, output, _ = found.end()
    assert code in {1, 4}, output
    assert "hidden_here" in output  # the node is refused before it computes
    assert not found.events("finished")


def files_of(run_dir):
    return {str(path.relative_to(run_dir)) for path in (run_dir / "results").rglob("*") if path.is_file()}


def test_nothing_of_it_is_seen_by_jobs(blind, home):
    (home / "secret").write_text("x")
    text = f"executable = /bin/ls\narguments = {home} {CONFIGS}\noutput = out\nlog = log\nshould_transfer_files = YES\nqueue\n"
    blind.wait(blind.submit(text, home), "completed")
    assert (home / "out").read_text().split() == sorted([f"{home}:", f"{CONFIGS}:"])  # as ls sorts them


def test_all_files_travel_and_results_are_the_same(blind, flow, site):
    expected = run(flow, "local", outdir=flow.parent / "expected", chunk_size=100, plots=False,
                   overrides=["backend=local", "pools.gpu.resources.gpus=0"])  # fmt: skip
    assert expected.status == "complete"
    found = ClusterRun(flow, site, "--chunk-size", "100", env=blind.env)
    code, output, _ = found.end()
    assert code == 0, output
    summary = found.summary()
    assert summary["status"] == "complete"
    assert {event["pool"] for event in found.events("block")} == {"default", "high_memory", "gpu"}
    facts = {group["pool"]: group for group in summary["nodes"]}  # they come with results
    assert facts.keys() == {"default", "high_memory", "gpu"}
    assert all(group["software"]["numpy"] == version("numpy") and not group["differences"] for group in facts.values())
    assert facts["gpu"]["gpus"]
    kinds = [event["what"] for event in found.events("finished")]
    assert kinds.count("merge") >= 2
    for event in found.events("finished"):  # what was read and written elsewhere is known by its place here
        for path in (*event["inputs"], *(ref["path"] for refs in event["refs"].values() for ref in refs)):
            assert Path(path).is_relative_to(found.run_dir)
    assert not differences(results(expected.run_dir), results(found.run_dir))
    assert files_of(found.run_dir) == files_of(expected.run_dir)
    assert len([name for name in files_of(found.run_dir) if name.startswith("results/Skim/dy-")]) > 1


def test_the_driver_s_secret_stays_and_the_workers_travels_in_private(blind, home, flow, site):
    found = ClusterRun(flow, site, "--chunk-size", "400", env=blind.env)
    try:
        ad = blind.job(found.wait_for_block("submitted")["job"]).ad
        folder = Path(ad["Iwd"])
        brought = {Path(name).name for name in ad["TransferInput"].split(",")}
        assert brought == {"node.sh", "plan.json", "code", "log_config.pkl", "client.key_secret", "server.key"}
        assert {Path(name).name for name in ad["EncryptInputFiles"].split(",")} == {"client.key_secret", "server.key"}
        assert "secret-key" not in next(found.run_dir.rglob("server.key")).read_text()
        assert str(home) not in (folder / "node.sh").read_text()
    finally:
        found.signal(signal.SIGINT)
        code, output, _ = found.end()
    assert code == 130, output


def test_a_lost_block_costs_only_time(blind, home, write_flow, site):
    """What its tasks had written is gone with the node; they are run again elsewhere."""
    flow = write_flow(home / "lost", ("Sleep", "fault.sleep", {"seconds": 0.4}))
    found = ClusterRun(flow, site, "--chunk-size", "5", env=blind.env)
    found.wait_for_results()
    blind.remove(found.jobs()[0])
    found.assert_complete(200 * 199 // 2)
    assert found.events("retried")
    assert len(found.jobs()) > 1


READS = """
import json
from pathlib import Path
from fasthep_parsl import InputFile, InputFolder, op

@op("far.scaled", reads=["x"], product="sums", merge=lambda a, b: {"n": a["n"] + b["n"], "places": a["places"] | b["places"]})
def scaled(events, *, tables: list[InputFile], model: InputFolder, home: str):
    paths = [*tables, model / "in" / "model.json"]
    assert not Path(home).joinpath("flow.yaml").exists(), "this node sees the driver's folder"
    assert all(str(path).startswith(str(Path(__file__).resolve().parent)) for path in map(Path.resolve, paths))
    factors = [json.loads(path.read_text()) for path in paths]
    return {"n": len(events) * sum(factors), "places": {path.name: 1 for path in paths}}
"""


def test_files_that_parameters_name_are_brought(blind, home, counted, site):
    """Two files of one name and a folder, which nobody listed, on nodes that see none of them."""
    folder = home / "files"
    for name, factor in (("a/sf.json", 2), ("b/sf.json", 3), ("model/in/model.json", 5)):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(str(factor))
    (folder / "far_ops.py").write_text(READS)
    params = {"tables": ["a/sf.json", str(folder / "b" / "sf.json")], "model": "model", "home": str(folder)}
    content = {
        "version": "1.0",
        "use": {"modules": ["far_ops.py"]},
        "data": {"datasets": [{"name": "d", "files": [str(counted)]}]},
        "sources": {"events": {"kind": "root_tree", "tree": "Events"}},
        "analysis": {"stages": [{"id": "S", "op": "far.scaled", "params": params}]},
    }
    (folder / "flow.yaml").write_text(json.dumps(content))
    found = ClusterRun(folder / "flow.yaml", site, "--chunk-size", "50", env=blind.env)
    code, output, _ = found.end()
    assert code == 0, output
    assert found.product("S", "sums") == {"n": 200 * (2 + 3 + 5), "places": {"sf.json": 1, "model.json": 1}}
    assert {file["name"] for file in found.summary()["parameter_files"]} == {"sf.json", "model"}
