"""Sites looked at without a workflow and without their batch system."""

from __future__ import annotations

from pathlib import Path

import pytest

from credential_samples import proxy, write
from fasthep_parsl.driver.site_checks.sample import sample_site
from fasthep_parsl.errors import ConfigError
from fasthep_parsl.sites import load_site
from fasthep_parsl.workflow.yamldoc import show_path
from golden.test_plans import EXAMPLES

ROOT = Path(__file__).parents[3]
SITES = sorted(path.stem for path in (ROOT / "site_profiles").glob("[!_]*.yaml"))
PROFILE = """\
extends: generic_slurm
queues:
  short: {node: {cpus: 8, memory: 32GB}, walltime: 4h}
  gpu: {node: {cpus: 8, memory: 64GB, gpus: 2}, walltime: 1d}
"""


@pytest.fixture
def site(tmp_path):
    def write(more=""):
        path = tmp_path / "mine.yaml"
        path.write_text(PROFILE + more)
        return str(path)

    return write


def wrong(sampled):
    return {check.what: check for check in sampled.checks if not check.ok}


@pytest.mark.parametrize("name", SITES)
def test_every_shipped_site_is_right_once_it_is_filled_in(name):
    keys = [show_path(item.path) for item in load_site(name).requires]
    sampled = sample_site(name, [f"{key}={EXAMPLES.get(key, 'example')}" for key in keys])
    assert wrong(sampled) == {}
    assert all(pool.block is None for pool in sampled.pools) == (name == "local")
    assert set(sampled.scripts) == {pool.name for pool in sampled.pools if pool.block}


def test_what_must_be_filled_in_is_named_with_its_help():
    sampled = sample_site("perlmutter_gpu")
    assert not sampled.ok
    assert wrong(sampled)["strategy.account"].hint.startswith("project that is charged")
    assert sample_site("perlmutter_gpu", ["strategy.account=m1"]).ok


def test_each_queue_has_a_small_pool_and_the_largest_job(site):
    sampled = sample_site(site())
    assert [(pool.name, pool.cpus, pool.gpus, pool.block.queue) for pool in sampled.pools] == [
        ("short", 1, 0, "short"),
        ("gpu", 1, 1, "gpu"),
    ]
    sizes = [(pool.block.cpus, pool.block.memory, pool.block.gpus, pool.block.walltime) for pool in sampled.largest]
    assert sizes == [(8, 32 * 10**9, 0, 4 * 3600), (8, 64 * 10**9, 2, 86400)]
    submitted, node = sampled.scripts["gpu"]
    assert "#SBATCH --partition=gpu\n" in submitted.text
    assert "--gpus-per-node=1\n" in submitted.text
    assert "'--addresses=<addresses>'" in node.text


def test_pools_of_the_profile_must_fit(site):
    sampled = sample_site(site("pools: {big: {queue: short, resources: {memory: 1TB}}}\n"))
    assert "no node with 1 TB of memory" in wrong(sampled)["pool big"].found
    assert sample_site(site("pools: {big: {resources: {memory: 60GB}}}\n")).pools[-1].block.queue == "gpu"


def test_bash_reads_the_scripts(site):
    sampled = sample_site(site("worker_init: ['if true']\n"))
    assert "syntax error" in wrong(sampled)["node.sh"].found


def test_an_environment_variable_that_is_not_set(site, monkeypatch):
    monkeypatch.delenv("NO_SUCH_SCRATCH", raising=False)
    assert (
        "`NO_SUCH_SCRATCH` is not set"
        in wrong(sample_site(site("scratch: '${NO_SUCH_SCRATCH}'\n")))["environment"].found
    )


def test_an_unknown_site():
    with pytest.raises(ConfigError, match="did you mean `lxplus`"):
        sample_site("lxpls")


def test_modifiers_of_pools_are_checked(site):
    more = """\
pools:
  small: {queue: short, modifiers: [diagnostic, {kind: profile, wat: 3}]}
  other: {queue: short, modifiers: [{name: cuda.jit, params: {on_missing: no}}, profile]}
"""
    path = site(more)
    bad = [check for check in sample_site(path).checks if not check.ok]
    assert {check.what for check in bad} == {"profile"}
    text = "\n".join(check.found for check in bad)
    assert f"{path}:6:" in text
    assert "unknown modifier `diagnostic`" in text
    assert "unknown key `wat`" in text
    assert f"{path}:7:" in text
    assert bad[0].hint == "did you mean `diagnostics`?"
    assert len(bad) == 3
    good = sample_site(site("pools: {small: {queue: short, modifiers: [profile, diagnostics]}}\n"))
    assert good.ok
    assert "of pool small: profile, diagnostics" in [check.found for check in good.checks if check.what == "modifiers"]


def test_credentials_are_shown_and_no_mistake_of_the_profile(site, tmp_path):
    profile = site(
        f"credentials: [{{kind: x509, vo: cms, path: {tmp_path}/none}}, {{kind: scitoken, required: false}}]\n"
    )
    sampled = sample_site(profile)
    assert sampled.ok
    (shown,) = [check for check in sampled.checks if check.what == "credential x509"]
    assert shown.found.startswith(f"a run needs it: proxy `{tmp_path}/none` does not exist")
    assert [item.kind for item in sampled.credentials] == ["x509"]
    write(tmp_path / "none", proxy(3.5, vo="cms"))
    (shown,) = [check for check in sample_site(profile).checks if check.what == "credential x509"]
    assert "(VO cms), 3 h" in shown.found
