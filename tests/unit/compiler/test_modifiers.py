"""Modifiers in plans: those of the pool around those of the stage, and a GPU where one is needed."""

from __future__ import annotations

import pytest

from fasthep_parsl.errors import ConfigError
from fasthep_parsl.resources.machine import Machine

GB = 10**9
TWO_GPUS = Machine(cpus=4, memory=16 * GB, gpus=2)
GPU = {"gpu": {"workers": 1, "resources": {"gpus": 1}}}


@pytest.fixture
def planned(flow, small_files):
    """Compile one stage with modifiers; pools are ``default`` and those given."""

    def compile_one(*modifiers, machine=TWO_GPUS, pools=GPU, default=(), **labels):
        stage = flow.stage("Cut", "hep.select", selection={"All": ["x >= 0"]})
        stage["execution"] = {**labels, "modifiers": list(modifiers)}
        pools = {"default": {"workers": 2, "modifiers": list(default)}, **pools}
        flow.write([stage], [small_files / "a.root"], execution={"backend": "local", "pools": pools})
        return flow.compile(machine=machine)

    return compile_one


def kinds(plan):
    return [(modifier.kind, modifier.params) for modifier in plan.stages[0].modifiers]


@pytest.mark.parametrize("kind", ["cuda.jit", "gpu.preload"])
def test_a_pool_without_a_gpu_is_refused_with_those_that_have_one(planned, kind):
    with pytest.raises(ConfigError) as failure:
        planned(kind)
    (problem,) = failure.value.problems
    assert (problem.code, problem.key) == ("E180", "analysis.stages[0].execution.modifiers[0]")
    assert problem.message == f"stage `Cut`: modifier `{kind}` needs a GPU, and its pool `default` has none"
    assert problem.hint == "pools with GPUs: `gpu`; or `on_missing: cpu` to do without"


def test_a_site_without_any_gpu_says_so(planned):
    with pytest.raises(ConfigError) as failure:
        planned("gpu.preload", machine=Machine(cpus=4, memory=16 * GB))
    (problem,) = failure.value.problems
    assert problem.hint == "no pool of this site has GPUs; or `on_missing: cpu` to do without"


def test_the_modifier_of_a_pool_without_a_gpu_is_refused_where_it_stands(planned):
    with pytest.raises(ConfigError) as failure:
        planned(default=["profile", "gpu.preload"])
    (problem,) = failure.value.problems
    assert (problem.code, problem.key) == ("E180", "execution.pools.default.modifiers[1]")


def test_a_stage_that_falls_back_to_a_pool_without_a_gpu_is_refused(planned):
    labels = {"require": "gpu", "fallback": "default"}
    assert kinds(planned("gpu.preload", **labels)) == [("gpu.preload", {})]
    with pytest.raises(ConfigError, match="needs a GPU, and its pool `default` has none"):
        planned("gpu.preload", machine=Machine(cpus=4, memory=16 * GB), **labels)


@pytest.mark.parametrize("kind", ["cuda.jit", "gpu.preload"])
def test_who_can_do_without_is_not_refused(planned, kind):
    spelling = {"name": kind, "params": {"on_missing": "cpu"}}
    machine = Machine(cpus=4, memory=16 * GB)
    plan = planned({"kind": kind, "on_missing": "cpu"}, machine=machine, require="gpu", fallback="default")
    assert kinds(plan) == kinds(planned(spelling, machine=machine)) == [(kind, {"on_missing": "cpu"})]
    assert plan.stages[0].pool == "default"


def test_compiling_for_the_cpu_never_needs_a_gpu(planned):
    machine = Machine(cpus=4, memory=16 * GB)
    for given in ({}, {"on_missing": "fail"}, {"on_missing": "cpu"}):
        modifier = {"kind": "cuda.jit", "target": "cpu", **given}
        assert planned(modifier, machine=machine).stages[0].pool == "default"
    with pytest.raises(ConfigError, match="text `no` is not allowed"):
        planned({"kind": "cuda.jit", "target": "cpu", "on_missing": "no"}, machine=machine)


def test_those_of_the_pool_are_around_those_of_the_stage(planned):
    plan = planned("diagnostics", "cuda.jit", require="gpu", pools={"gpu": {**GPU["gpu"], "modifiers": ["profile"]}})
    assert [kind for kind, _ in kinds(plan)] == ["profile", "diagnostics", "cuda.jit"]


@pytest.mark.parametrize(
    ("modifier", "code", "said"),
    [
        ("gpu.prelaod", "E110", "did you mean `gpu.preload`?"),
        ({"kind": "gpu.preload", "on_missing": "gpu"}, "E106", ""),
        ({"kind": "cuda.jit", "taget": "cpu"}, "E102", "did you mean `target`?"),
    ],
)
def test_mistakes_are_found_before_anything_starts(planned, modifier, code, said):
    with pytest.raises(ConfigError) as failure:
        planned(modifier, require="gpu")
    (problem,) = failure.value.problems
    assert problem.code == code
    assert said in problem.hint
