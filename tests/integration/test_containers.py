"""Workers in containers that a real apptainer starts: on this machine, and on two nodes of one Slurm job."""

from __future__ import annotations

import json
import shutil
import signal
import sys
import textwrap
from pathlib import Path

import pytest

from integration.cluster_runs import ClusterRun, differences, results, write_site
from services.apptainer import MARK, FolderImage, apptainer_programs
from services.fixtures_condor import used as condor_used
from services.fixtures_slurm import used

HERE = Path(__file__).parent
QUEUES = {"cpu": {"node": {"cpus": 8, "memory": "6GB"}, "walltime": "1d"}}
NAMES = [
    "PYTHONPATH",
    "PYTHONNOUSERSITE",
    "FROM_THE_NODE",
    "FASTHEP_PARSL_FILES",
    "APPTAINER_CONTAINER",
    "OMP_NUM_THREADS",
]


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """An image that this machine can start."""
    made = FolderImage(tmp_path_factory.mktemp("images") / "my image")
    made.check()
    return made


def write_workflow(folder, data, **params):
    """Write a workflow that looks around in the container."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("container_ops.py", "fault_ops.py"):
        shutil.copyfile(HERE / name, folder / name)
    content = {
        "version": "1.0",
        "use": {"modules": ["container_ops.py", "fault_ops.py"]},
        "data": {"datasets": [{"name": "small", "files": [str(data)]}]},
        "sources": {"events": {"kind": "root_tree", "tree": "Events"}},
        "analysis": {"stages": [
            {"id": "Seen", "op": "software.seen", "needs": [], "params": {"names": NAMES, "file": f"/{MARK}"}},
            {"id": "Sleep", "op": "fault.sleep", "needs": [], "params": {"seconds": params.pop("seconds", 0)}},
        ]},
        "execution": {"pools": {"default": {"workers": 2}}},
    }  # fmt: skip
    (folder / "flow.yaml").write_text(json.dumps(content))  # JSON is YAML
    return folder / "flow.yaml"


def check(rows):
    """Check what tasks have seen: the image, what the node exported, and nothing of the submit side."""
    for row in rows:
        found = row["variables"]
        assert row["file"], "the task did not run in the container"
        assert found["PYTHONPATH"] is None
        assert found["PYTHONNOUSERSITE"] == "1"
        assert found["FROM_THE_NODE"] == "a b"
        assert found["APPTAINER_CONTAINER"]
        assert row["python"] == sys.executable


def lines(image):
    return [*image.environment()["setup"], "export FROM_THE_NODE='a b'"]


def test_on_this_machine(image, counted, tmp_path):
    site = write_site(tmp_path, "local", environment=image.environment(setup=lines(image)))
    run = ClusterRun(write_workflow(tmp_path / "flow", counted), site, env={"PYTHONPATH": str(tmp_path)})
    code, output, _ = run.end()
    assert code == 0, output
    check(run.product("Seen", "seen"))
    run.assert_nothing_left()


def test_nothing_is_left_of_a_container_whose_driver_is_killed(image, counted, tmp_path):
    site = write_site(tmp_path, "local", environment=image.environment())
    run = ClusterRun(write_workflow(tmp_path / "flow", counted, seconds=60), site, env={})
    run.wait_until(lambda: "up" in run.states())
    run.signal(signal.SIGKILL)
    run.end()
    run.assert_nothing_left(60)


def test_the_analysis_gives_the_same_numbers_in_a_container(image, checkout, tmp_path, expected):
    folder = tmp_path / "checkout"
    shutil.copytree(checkout, folder, ignore=shutil.ignore_patterns("here"))
    site = write_site(folder, "local", environment=image.environment())
    run = ClusterRun(
        folder / "configs" / "heterogeneous.yaml", site, "--set", "execution.pools.gpu.resources.gpus=0", env={}
    )
    code, output, _ = run.end()
    assert code == 0, output
    found = results(run.run_dir)
    assert found.keys() == expected.keys()
    assert differences(expected, found) == []


@pytest.mark.slurm
def test_on_two_nodes_of_a_slurm_job(image, make_slurm, checkout, tmp_path, expected):
    folder = tmp_path / "checkout"
    shutil.copytree(checkout, folder, ignore=shutil.ignore_patterns("here"))
    queues = {"cpu": {"node": {"cpus": 8, "memory": "64GB"}, "walltime": "1d", "min_nodes": 2, "max_nodes": 2},
              "gpu": {"node": {"cpus": 8, "memory": "64GB", "gpus": 2}, "walltime": "1d"}}  # fmt: skip
    site = write_site(folder, "generic_slurm", queues=queues, environment=image.environment(setup=lines(image)))
    cluster = make_slurm()
    with used(cluster):
        run = ClusterRun(
            folder / "configs" / "heterogeneous.yaml", site, env={**cluster.env, "PYTHONPATH": str(tmp_path)}
        )
        code, output, _ = run.end()
    assert code == 0, output
    assert differences(expected, results(run.run_dir)) == []
    blocks = run.run_dir / "log" / "blocks"
    assert set((blocks / "default" / "block.0.node").read_text().split()) == {"c1", "c2"}
    assert " exec --pwd " in (blocks / "default" / "node.sh").read_text()


@pytest.mark.slurm
def test_tasks_of_a_slurm_job_run_in_the_image(image, make_slurm, counted, tmp_path):
    environment = image.environment(setup=lines(image))
    site = write_site(tmp_path, "generic_slurm", queues=QUEUES, environment=environment, scratch="$BASE/scratch dir")
    cluster = make_slurm()
    with used(cluster):
        flow = write_workflow(tmp_path / "flow", counted)
        run = ClusterRun(flow, site, env={**cluster.env, "PYTHONPATH": str(tmp_path), "BASE": str(tmp_path)})
        code, output, _ = run.end()
    assert code == 0, output
    check(run.product("Seen", "seen"))


def test_an_image_that_is_not_there_ends_the_run_with_the_reason(image, counted, tmp_path):
    environment = image.environment(image=str(tmp_path / "none.sif"))
    site = write_site(tmp_path, "local", environment=environment)
    run = ClusterRun(write_workflow(tmp_path / "flow", counted), site, env={})
    code, output, _ = run.end()
    assert code not in (0, 3), output
    assert "none.sif" in output
    assert "no such file or directory" in output.lower()


@pytest.mark.condor
def test_on_nodes_that_see_nothing_of_the_submit_side(image, make_condor_pool, counted, tmp_path):
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    environment = image.environment(setup=lines(image), runtime="apptainer")
    environment["bind"] = [*image.bind, f"{counted.parent}:{counted.parent}:ro"]
    with condor_used(make_condor_pool(hide=[hidden])) as pool:
        site = write_site(
            tmp_path, "generic_htcondor", environment=environment, shared_filesystem=False, scaling={"poll": "1s"},
            queues=QUEUES, shared_folders=[str(counted.parent), str(image.folder)],
        )  # fmt: skip
        run = ClusterRun(write_workflow(hidden / "flow", counted), site, env=pool.env)
        code, output, _ = run.end()
    assert code == 0, output
    check(run.product("Seen", "seen"))


@pytest.mark.condor
def test_htcondor_itself_starts_the_container(image, make_condor_pool, counted, tmp_path):
    folders = ",".join([*image.bind, f"{counted.parent}:{counted.parent}:ro", str(tmp_path)])
    config = f"""
        SINGULARITY = {apptainer_programs()}/apptainer
        SINGULARITY_EXTRA_ARGUMENTS = "--userns"
        SINGULARITY_BIND_EXPR = "{folders}"
        SINGULARITY_RUN_TEST_BEFORE_JOB = False
        HasContainer = True
        HasSandboxImage = True
        STARTD_ATTRS = $(STARTD_ATTRS) HasContainer HasSandboxImage
    """
    environment = image.environment(setup="export FROM_THE_NODE='a b'", bind=None)  # the pool says what is mounted
    with condor_used(make_condor_pool(config=textwrap.dedent(config))) as pool:
        keys = {"queues": QUEUES, "scaling": {"poll": "1s"}, "environment": environment}
        site = write_site(tmp_path, "generic_htcondor", **keys)
        run = ClusterRun(write_workflow(tmp_path / "flow", counted), site, env=pool.env)
        ad = pool.job(run.wait_for_block("submitted")["job"]).ad
        assert ad["ContainerImage"] == str(image.folder)
        code, output, _ = run.end()
    assert code == 0, output
    check(run.product("Seen", "seen"))
