"""Environment and credentials become the setup of each pool, in a fixed order; conflicts are refused in the plan."""

from __future__ import annotations

import json
from importlib.metadata import EntryPoint

import pytest

from credential_samples import write
from fasthep_parsl import registry
from fasthep_parsl.driver.api import compile_plan
from fasthep_parsl.errors import ConfigError


@pytest.fixture(autouse=True)
def probes(monkeypatch):
    for group, place in (("environments", "ProbeEnvironment"), ("credentials", "ProbeCredential")):
        point = EntryPoint("probe", f"probe_setups:{place}", f"fasthep_parsl.{group}")
        monkeypatch.setitem(registry._table(group), "probe", point)
    yield
    registry.load.cache_clear()


@pytest.fixture
def planned(flow, small_files):
    def planned(*credentials, environment="probe", strategy="local", **execution):
        token = write(flow.folder / "token", b"secret")
        listed = [{"kind": "probe", "path": str(token), **more} for more in credentials]
        execution = {"pools": flow.pools, "environment": environment, "credentials": listed, **execution}
        written = flow.write([flow.stage("Sum", "probe.sum", [])], [small_files / "b.root"], execution=execution)
        return written.compile(overrides=[f"execution.strategy={strategy}"])

    return planned


def test_setups_are_combined_in_a_fixed_order(planned):
    plan = planned({}, {"name": "second"}, worker_init=["export SITE=1"])
    for pool in plan.pools:
        assert pool.files == ("greeting.txt",)
        assert pool.secrets == ("probe.token", "second")
        assert [line.split("=")[0] for line in pool.worker_init] == [
            "export PROBE_GREETING", "export PROBE_ORDER",
            "export PROBE_TOKEN_FILE", "PROBE_ORDER",
            "export PROBE_TOKEN_FILE", "PROBE_ORDER",
            "export SITE",
        ]  # fmt: skip
        assert '"$FASTHEP_PARSL_SECRETS/probe.token"' in pool.worker_init[2]
    assert [(item.kind, item.params["name"]) for item in plan.credentials[1:]] == [("probe", "second")]


def test_results_do_not_depend_on_them(planned):
    assert planned({}).hash == planned(environment="shared-prefix").hash


@pytest.mark.parametrize(
    ("credentials", "environment", "key", "message"),
    [
        ([{}, {}], "probe", "credentials[1]", "another worker setup has a file `probe.token`, too"),
        ([{"name": "greeting.txt"}], "probe", "credentials[0]", "another worker setup has a file `greeting.txt`, too"),
        ([{"name": "node.sh"}], "probe", "credentials[0]", "`node.sh` cannot name a file for workers"),
        ([], {"kind": "probe", "file": "../a"}, "environment", "`../a` cannot name a file for workers"),
        ([{"surprise": 1}], "probe", "credentials[0].surprise", "unknown key `surprise`"),
    ],
)
def test_conflicts_are_refused(planned, credentials, environment, key, message):
    with pytest.raises(ConfigError) as failure:
        planned(*credentials, environment=environment)
    (problem,) = failure.value.problems
    assert problem.key == f"execution.{key}"
    assert problem.message.startswith(message)


@pytest.mark.parametrize(("strategy", "refused"), [("htcondor", False), ("slurm", True), ("local", True)])
def test_a_strategy_that_brings_no_credentials_is_refused(planned, strategy, refused):
    if not refused:
        assert [item.kind for item in planned({"batch": "x509"}, strategy=strategy).pools[0].batch_credentials] == [
            "x509"
        ]
        return
    with pytest.raises(ConfigError, match=f"strategy `{strategy}` cannot bring this credential"):
        planned({"batch": "x509"}, strategy=strategy)


def test_a_strategy_that_brings_no_files_is_refused_where_nodes_do_not_see_the_run_directory(flow, small_files):
    def compile_on(strategy):
        site = {"meta": {"description": "far"}, "strategy": {"kind": strategy}, "shared_filesystem": False,
                "shared_folders": [str(small_files)], "credentials": [{"kind": "probe", "path": str(write(flow.folder / "token", b"secret"))}]}  # fmt: skip
        path = flow.folder / "far.yaml"
        path.write_text(json.dumps(site))  # JSON is YAML
        stages, pools = [flow.stage("Sum", "probe.sum", [])], {"default": {"workers": 2}}
        flow.write(stages, [small_files / "b.root"], execution={"pools": pools})
        return compile_plan(flow.path, path)

    with pytest.raises(ConfigError) as failure:
        compile_on("slurm")
    (problem,) = failure.value.problems
    assert problem.code == "E149"
    assert "`slurm` cannot send files" in problem.message
    (pool,) = compile_on("htcondor").pools
    assert (pool.secrets, pool.shared) == (("probe.token",), False)
