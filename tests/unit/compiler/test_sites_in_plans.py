"""A workflow on a batch site: routes, options per queue, ports, and what bad profiles and pools get."""

from __future__ import annotations

import sys

import pytest
import yaml

from fasthep_parsl.driver.api import compile_plan
from fasthep_parsl.errors import ConfigError
from fasthep_parsl.plan import Plan

CLUSTER = {
    "meta": {"description": "a cluster"},
    "strategy": {"kind": "slurm", "account": "a1"},
    "queues": {
        "cpu": {"node": {"cpus": 32, "memory": "128GB"}, "walltime": "2d", "max_blocks": 20},
        "gpu": {
            "node": {"cpus": 64, "memory": "256GB", "gpus": 4},
            "walltime": "1d",
            "options": {"account": "a1_g", "gpu_type": "a100"},
        },
    },
}
POOLS = {"default": {"workers": 10}, "gpu": {"workers": 1, "resources": {"gpus": 1, "memory": "8GB"}}}


@pytest.fixture
def on_site(flow, small_files):
    """Write a site and compile a workflow for it."""

    def compile_on(site=None, *, pools=None, stages=None, overrides=(), execution=None, extend=True):
        content = {**CLUSTER, **(site or {})} if extend else site
        path = flow.folder / "here.yaml"
        path.write_text(yaml.safe_dump(content, sort_keys=False))
        default = [flow.stage("A", "probe.sum", needs=[]), flow.stage("B", "probe.sum", needs=[], pool="gpu")]
        flow.write(
            stages or default,
            [small_files / "a.root"],
            execution={"pools": pools or POOLS, **(execution or {})},
        )
        return compile_plan(flow.path, path, overrides=overrides, chunk_size=5)

    return compile_on


def refusal(call, *args, **keywords):
    with pytest.raises(ConfigError) as caught:
        call(*args, **keywords)
    return caught.value.problems


def test_pools_become_blocks_of_the_site(on_site):
    plan = on_site(
        {
            "network": {"interface": "hsn0", "ports": "10000-10100"},
            "scaling": {"idle": "2m", "max_blocks": 4},
            "worker_init": ["module load x"],
            "scratch": "$TMPDIR",
            "environment": {"kind": "shared-prefix", "prefix": "/shared/env"},
        }
    )
    assert plan.strategy == "slurm"
    default, gpu = plan.pool("default"), plan.pool("gpu")
    assert (default.provider, default.options) == ("slurm", {"account": "a1"})
    assert gpu.options == {"account": "a1_g", "gpu_type": "a100"}
    assert (default.block.queue, default.blocks, default.workers_per_block) == ("cpu", 2, 5)
    assert (gpu.block.queue, gpu.block.gpus) == ("gpu", 1)
    assert default.network.model_dump() == {"address": "", "interface": "hsn0", "ports": (10000, 10100)}
    assert default.scaling.idle == 120
    assert default.worker_init == ('export PATH=/shared/env/bin:"$PATH"', "module load x")
    assert (default.python, default.scratch, default.shared) == ("/shared/env/bin/python", "$TMPDIR", True)
    assert Plan.model_validate_json(plan.model_dump_json()) == plan


def test_options_render_a_script(on_site):
    from fasthep_parsl import registry
    from fasthep_parsl.interfaces import BlockLocation

    pool = on_site().pool("gpu")
    text = (
        registry.load("strategies", pool.provider)(**pool.options).script(pool, BlockLocation("/run/b", "job", 0)).text
    )
    assert "--account=a1_g" in text


def test_there_are_no_more_workers_than_tasks_and_blocks_shrink_with_them(on_site, flow):
    few = on_site(stages=[flow.stage("A", "probe.sum", needs=[])], pools={"default": {"workers": 300}})
    pool = few.pool("default")
    assert few.partitions == 20
    assert (pool.workers, pool.blocks, pool.workers_per_block, pool.block.cpus) == (20, 3, 7, 7)
    assert pool.block.why[-1] == "20 of 300 workers: there are no more tasks"
    assert not few.warnings  # 300 workers would not have fitted, 20 do


def test_what_is_made_smaller_is_said(on_site, flow):
    plan = on_site({"scaling": {"max_blocks": 1}}, stages=[flow.stage("A", "probe.sum", needs=[])],
                   pools={"default": {"workers": 60, "resources": {"memory": "16GB"}}})  # fmt: skip
    assert plan.pool("default").workers == 8
    assert plan.warnings == ("pool `default`: 60 → 8 workers (`scaling.max_blocks` allows 1 job of 8 workers)",)


def test_pools_that_share_a_queue_with_few_jobs_are_warned_of(on_site, flow):
    queues = {"cpu": {"max_blocks": 1, "node": {"cpus": 4, "memory": "16GB"}}}
    stages = [flow.stage("A", "probe.sum", needs=[]), flow.stage("B", "probe.sum", needs=[], pool="other")]
    plan = on_site({"queues": queues}, stages=stages, pools={"other": {"workers": 2}, "default": {"workers": 2}})
    assert plan.warnings == (
        "pools `default`, `other` may need 2 jobs in queue `cpu`, which allows 1; some jobs wait until others end",
    )


def test_a_pool_that_is_too_large_falls_back_where_the_stage_says_so(on_site, flow):
    pools = {**POOLS, "gpu": {"resources": {"gpus": 8}}}
    strict = [flow.stage("A", "probe.sum", needs=[], pool="gpu")]
    (problem,) = refusal(on_site, pools=pools, stages=strict)
    assert (problem.code, problem.key) == ("E144", "execution.pools.gpu.resources.gpus")
    assert problem.where.file.endswith("flow.yaml")
    assert "at most 4 GPUs per worker" in str(problem.hint)
    lenient = [{**strict[0], "execution": {"require": "gpu", "fallback": "default"}}]
    plan = on_site(pools=pools, stages=lenient)
    assert plan.stages[0].pool == "default"
    assert plan.warnings == (
        "stage `A` requires `gpu` (no node here has 8 GPUs, which the pool asks for per worker); it falls back to `default`",
    )
    assert [pool.name for pool in plan.pools] == ["default"]


def test_a_class_that_is_too_large_is_shown_where_it_stands(on_site, flow):
    stages = [flow.stage("A", "probe.sum", needs=[], pool="big")]
    (problem,) = refusal(on_site, stages=stages, pools={"big": {"resources": "fat"}},
                         execution={"resources": {"fat": {"memory": "4TB"}}})  # fmt: skip
    assert problem.key == "execution.resources.fat.memory"


def test_too_much_walltime_is_refused_even_with_a_fallback(on_site, flow):
    stages = [{**flow.stage("A", "probe.sum", needs=[]), "execution": {"require": "long", "fallback": "default"}}]
    (problem,) = refusal(on_site, stages=stages, pools={"long": {"resources": {"walltime": "5d"}}})
    assert (problem.code, problem.key) == ("E144", "execution.pools.long.resources.walltime")
    assert on_site(pools={**POOLS, "long": {"resources": {"walltime": "5d"}}})  # nobody uses it


def test_a_site_without_gpus_says_so_at_the_stage(on_site):
    (problem,) = refusal(on_site, {"queues": {"cpu": CLUSTER["queues"]["cpu"]}})
    assert (problem.code, problem.key) == ("E141", "analysis.stages[1].execution.require")
    assert "no node here has a GPU" in problem.message


def test_an_unknown_queue_names_close_ones(on_site):
    (problem,) = refusal(on_site, pools={**POOLS, "default": {"queue": "gpuu"}})
    assert (problem.code, problem.key, str(problem.hint)) == (
        "E148",
        "execution.pools.default.queue",
        "did you mean `gpu`?",
    )


def test_one_port_is_enough_for_one_pool_and_the_hint_works(on_site, flow):
    site = {"network": {"ports": 8786}}
    (problem,) = refusal(on_site, site)
    assert (problem.code, problem.key) == ("E145", "execution.network.ports")
    assert problem.message == "2 pools (default, gpu) need a port each, but workers can reach only one port, 8786"
    assert problem.where.file.endswith("here.yaml")
    overrides = [part.split("'")[0] for part in problem.hint.on_command_line.split("--set '")[1:]]
    plan = on_site(site, overrides=overrides)
    assert [pool.name for pool in plan.pools if pool.used] == ["default"]
    assert (plan.pool("default").gpus, plan.pool("default").memory) == (1, 8 * 10**9)
    assert on_site({"network": {"ports": "8786-8787"}})
    assert on_site(site, stages=[flow.stage("A", "probe.sum", needs=[])])  # pools that nobody uses need no port
    assert "but workers can reach only 2 ports, 5-6" in refusal(
        on_site, {"network": {"ports": "5-6"}}, pools={**POOLS, "third": {}},
        stages=[*(flow.stage(n, "probe.sum", needs=[], pool=n) for n in ("default", "gpu", "third"))],
    )[0].message  # fmt: skip


@pytest.mark.parametrize(
    ("site", "key", "message"),
    [
        ({"strategy": {"kind": "slurm", "acount": "x"}}, "execution.strategy.acount", "unknown key `acount`"),
        ({"queues": {"q": {"options": {"acount": "x"}}}}, "execution.queues.q.options.acount", "unknown key `acount`"),
        ({"queues": {"q": {"options": {"memory": "3"}}}}, "execution.queues.q.options.memory", "`memory`"),
    ],
)
def test_wrong_options_are_shown_where_they_stand(on_site, flow, site, key, message):
    (problem,) = refusal(on_site, site, stages=[flow.stage("A", "probe.sum", needs=[])], pools={"default": {}})
    assert problem.key == key
    assert message in problem.message
    assert problem.where.file.endswith("here.yaml")


def test_what_a_site_requires_is_asked_for_with_its_help(on_site, flow):
    site = {"strategy": {"kind": "slurm"}, "requires": {"strategy.account": "your project, `m1234`"}}
    (problem,) = refusal(on_site, site)
    assert (problem.code, problem.key) == ("E146", "execution.strategy.account")
    assert problem.message == "site `here` needs `strategy.account`"
    assert problem.where.file.endswith("here.yaml")
    assert str(problem.hint) == (
        "your project, `m1234`; `overrides=['strategy.account=…']`, "
        "or a site file of your own with `extends: here` and `strategy: {account: …}`"
    )
    plan = on_site(site, overrides=["strategy.account=m1"])
    assert plan.pool("default").options == {"account": "m1"}
    found = refusal(on_site, {**site, "strategy": {"kind": "slurm", "account": ""}})
    assert [item.code for item in found] == ["E146"]  # and not that the account is empty too


def test_mistakes_of_workflow_site_and_pools_are_shown_at_once(on_site, flow):
    stages = [flow.stage("A", "probe.sum", needs=[], surprise=1)]
    site = {"strategy": {"kind": "slurm"}, "requires": {"strategy.account": "your project"}}
    found = refusal(on_site, site, stages=stages)
    assert {item.code for item in found} == {"E102", "E146"}
    found = refusal(on_site, {"meta": {"description": "d", "status": "fine"}}, stages=[{"id": "A", "opp": "x"}])
    assert [item.code for item in found] == ["E106", "E102"]  # a profile with mistakes hides none of the workflow


def test_the_site_s_strategy_replaces_the_workflow_s(on_site):
    plan = on_site(execution={"strategy": {"kind": "slurm", "reservation": "mine"}})
    assert plan.pool("default").options == {"account": "a1"}
    assert on_site(overrides=["strategy=slurm"]).pool("default").options == {"account": "a1"}
    here = on_site(overrides=["strategy=local", "stages[B].execution.fallback=default"])
    assert (here.pool("default").block, here.pool("default").provider) == (None, "local")


def test_the_environment_of_the_driver_is_in_the_plan(on_site):
    assert on_site({"environment": "shared-prefix"}).pool("default").python == sys.executable
    (problem,) = refusal(on_site, {"environment": {"kind": "shared-prefix", "prefix": "env"}})
    assert (problem.code, problem.key) == ("E105", "execution.environment.prefix")
