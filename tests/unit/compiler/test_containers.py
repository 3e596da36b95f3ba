"""Containers in plans: who starts them, and what is refused, with the place in the file."""

from __future__ import annotations

import json

import pytest

from fasthep_parsl.driver.api import compile_plan
from fasthep_parsl.errors import ConfigError

DOCKER, SIF, OSDF = "docker://ghcr.io/me/a:1", "/home/me/a.sif", "osdf:///ospool/me/a.sif"
QUEUES = {"cpu": {"node": {"cpus": 8, "memory": "16GB"}, "walltime": "1d"}}


@pytest.fixture
def planned(flow, small_files):
    """Compile a workflow for a strategy, with an environment."""

    def planned(strategy, environment, **site):
        strategy = {"kind": strategy} if isinstance(strategy, str) else strategy
        content = {"meta": {"description": "here"}, "strategy": strategy, "environment": environment,
                   "shared_folders": [str(small_files), "/cvmfs"], **site}  # fmt: skip
        if strategy["kind"] != "local":
            content["queues"] = QUEUES
        path = flow.folder / "here.yaml"
        path.write_text(json.dumps(content))  # JSON is YAML
        flow.write([flow.stage("Sum", "probe.sum", [])], [small_files / "b.root"], execution={"pools": flow.pools})
        return compile_plan(flow.path, path)

    return planned


def container(image=DOCKER, **fields):
    return {"kind": "container", "image": image, **fields}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strategy", "fields", "runtime"),
    [
        ("htcondor", {}, "site"),
        ("htcondor", {"runtime": "apptainer"}, "apptainer"),
        ({"kind": "kubernetes", "namespace": "cms"}, {}, "site"),
        ("slurm", {}, "apptainer"),
        ({"kind": "slurm", "oci_bundles": True}, {"image": "/images/a"}, "site"),
        ("slurm", {"runtime": "podman"}, "podman"),
        ("pbs", {}, "apptainer"),
        ("lsf", {"runtime": "singularity"}, "singularity"),
        ("grid_engine", {}, "apptainer"),
        ("local", {}, "apptainer"),
        ("local", {"runtime": "docker"}, "docker"),
    ],
)
def test_the_plan_says_what_starts_the_container(planned, strategy, fields, runtime):
    plan = planned(strategy, container(**fields))
    for pool in plan.pools:
        assert (pool.container.runtime, pool.container.image) == (runtime, fields.get("image", DOCKER))
        assert pool.python == "python3"
    assert type(plan).model_validate_json(plan.model_dump_json()) == plan
    assert planned("local", {"kind": "shared-prefix"}).hash == plan.hash


KUBERNETES = {"kind": "kubernetes", "image": "ghcr.io/me/b:1"}
BUNDLES = {"kind": "slurm", "oci_bundles": True}
IMAGED = {"kind": "htcondor", "container_image": "docker://b"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strategy", "fields", "shared", "key", "message"),
    [
        (IMAGED, {}, True, "image", "`strategy.container_image` is an image, too"),
        ({"kind": "htcondor", "singularity_image": "/b"}, {"runtime": "apptainer"}, True, "image", "is an image, too"),
        ("htcondor", {"bind": "/data"}, True, "bind", "HTCondor cannot mount folders of your choice"),
        ("htcondor", {"runtime": "apptainer", "image": SIF}, False, "image", f"nodes do not see `{SIF}`"),
        ("htcondor", {"runtime": "apptainer", "image": OSDF}, False, "image", f"`apptainer` cannot start `{OSDF}`"),
        (KUBERNETES, {}, True, "image", "`strategy.image` is another image: `ghcr.io/me/b:1`"),
        ({"kind": "kubernetes"}, {"runtime": "docker"}, True, "runtime", "pods are containers"),
        ({"kind": "kubernetes"}, {"bind": "/data"}, True, "bind", "pods mount volumes"),
        ({"kind": "kubernetes"}, {"image": SIF}, True, "image", f"`{SIF}` cannot be started here"),
        (BUNDLES, {}, True, "image", f"`{DOCKER}` cannot be started here"),
        (BUNDLES, {"image": SIF}, True, "image", f"`{SIF}` cannot be started here"),
        (BUNDLES, {"image": "/images/a", "bind": "/data"}, True, "bind", "Slurm cannot mount"),
        ("slurm", {"runtime": "docker", "image": SIF}, True, "image", f"`docker` cannot start `{SIF}`, a path"),
        ("pbs", {"runtime": "podman", "image": "oras://a/b:1"}, True, "image", "`podman` cannot start `oras://a/b:1`"),
        ("local", {"image": OSDF}, True, "image", "`apptainer` cannot start"),
        ("slurm", {"runtime": "shifter"}, True, "runtime", "`shifter` is not allowed"),
        ("slurm", {"image": "a.sif"}, True, "image", "`image`: `a.sif` is not an image"),
    ],
)
def test_what_cannot_be_started_is_refused_with_its_line(planned, strategy, fields, shared, key, message):
    with pytest.raises(ConfigError) as failure:
        planned(strategy, container(**fields), shared_filesystem=shared)
    (problem,) = failure.value.problems
    assert (problem.code, problem.key) == ("E106", f"execution.environment.{key}")
    assert message in problem.message
    assert problem.hint
    assert problem.where is not None


def test_images_that_nodes_have_or_that_are_transferred_need_no_shared_files(planned):
    assert planned("htcondor", container(OSDF), shared_filesystem=False)
    assert planned("htcondor", container(SIF), shared_filesystem=False)
    there = container("/cvmfs/unpacked.cern.ch/a", runtime="apptainer")
    assert planned("htcondor", there, shared_filesystem=False)


def test_pods_need_an_image_from_somewhere(planned):
    with pytest.raises(ConfigError) as failure:
        planned("kubernetes", {"kind": "image", "python": "/usr/bin/python3"})
    (problem,) = failure.value.problems
    assert problem.key == "execution.strategy"
    assert "`image` is missing" in problem.message


def test_the_same_image_twice_is_no_conflict(planned):
    assert planned({"kind": "kubernetes", "image": "ghcr.io/me/a:1"}, container())


def test_the_backend_without_workers_starts_none(planned):
    assert planned("local", container(OSDF), backend="local")


def test_a_site_does_not_ask_for_an_image_that_the_user_has_named(flow, small_files):
    def keys(environment):
        site = flow.folder / "mine.yaml"
        site.write_text(json.dumps({"extends": "ospool", **({"environment": environment} if environment else {})}))
        flow.write([flow.stage("Sum", "probe.sum", [])], [small_files / "b.root"], execution={"pools": flow.pools})
        with pytest.raises(ConfigError) as failure:
            compile_plan(flow.path, site)
        return {item.key for item in failure.value.problems if item.code == "E146"}

    assert keys(None) >= {"execution.strategy.container_image", "execution.environment.python"}
    assert keys(container(OSDF)) == {"execution.strategy.project", "execution.network.address"}
    assert "execution.environment.python" not in keys({"kind": "shared-prefix", "prefix": "/cvmfs/me"})
    assert "execution.strategy.container_image" in keys({"kind": "shared-prefix", "prefix": "/cvmfs/me"})
