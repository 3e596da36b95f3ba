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
    assert str(problem.hint) == "pools with GPUs: `gpu`; to run without a GPU, write `on_missing: cpu`"


def test_a_site_without_any_gpu_says_so(planned):
    with pytest.raises(ConfigError) as failure:
        planned("gpu.preload", machine=Machine(cpus=4, memory=16 * GB))
    (problem,) = failure.value.problems
    assert str(problem.hint) == "no pool of this site has GPUs; to run without a GPU, write `on_missing: cpu`"


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
    assert said in str(problem.hint)


def test_equal_ones_are_there_once_however_they_are_spelled(planned):
    plan = planned({"kind": "profile", "what": "time"}, "diagnostics", {"kind": "profile", "rate": 100}, "diagnostics")
    assert [kind for kind, _ in kinds(plan)] == ["profile", "diagnostics"]
    plan = planned({"kind": "profile", "what": "time"}, default=["profile", {"name": "profile", "params": {}}])
    assert kinds(plan) == [("profile", {})]


def test_the_stage_says_how_a_modifier_of_its_pool_works(planned):
    plain, flame = {"kind": "diagnostics", "fields": False}, {"kind": "profile", "what": "flame"}
    slow = {**flame, "rate": 10}
    plan = planned(flame, plain, default=["diagnostics", "profile", slow])
    assert kinds(plan) == [
        ("diagnostics", {"fields": False}),
        ("profile", {}),
        ("profile", {"what": "flame"}),
    ]
    without = {"kind": "gpu.preload", "on_missing": "cpu"}
    assert kinds(planned(without, default=["gpu.preload"])) == [("gpu.preload", {"on_missing": "cpu"})]


@pytest.mark.parametrize(
    ("modifiers", "message"),
    [
        (["diagnostics", {"kind": "diagnostics", "fields": False}], "modifier `diagnostics` is twice in one list"),
        (
            [{"kind": "profile", "what": "flame"}, {"kind": "profile", "what": "flame", "rate": 10}],
            "modifier `profile` is twice in one list with the same `what`",
        ),
    ],
)
def test_one_kind_stands_once_in_a_list(planned, modifiers, message):
    for place in ({"default": modifiers}, {"pools": {**GPU, "other": {"workers": 1, "modifiers": modifiers}}}):
        with pytest.raises(ConfigError) as failure:
            planned(**place)
        (problem,) = failure.value.problems
        assert (problem.code, problem.message) == ("E106", message)
        assert problem.where.line == 1
        assert str(problem.hint).startswith("remove one of them; the other is `execution.pools.")
    with pytest.raises(ConfigError) as failure:
        planned(*modifiers)
    assert failure.value.problems[0].key == "analysis.stages[0].execution.modifiers[1]"


def test_a_field_to_move_must_exist(planned):
    with pytest.raises(ConfigError) as failure:
        planned({"kind": "gpu.preload", "fields": ["x", "Moun_pt"]}, require="gpu")
    (problem,) = failure.value.problems
    assert (problem.code, problem.message) == ("E150", "unknown field `Moun_pt`")
    assert problem.key == "analysis.stages[0].execution.modifiers[0].fields[1]"
    assert str(problem.hint).startswith("fields: ")
    with pytest.raises(ConfigError) as failure:
        planned({"name": "gpu.preload", "params": {"fields": ["Moun_pt"]}}, require="gpu")
    assert failure.value.problems[0].key == "analysis.stages[0].execution.modifiers[0].params.fields[0]"
    assert kinds(planned({"kind": "diagnostics", "fields": True}))


def test_a_field_that_a_pool_moves_must_be_known_to_one_of_its_stages(flow, small_files):
    def compile_two(*fields, **more):
        stages = [
            flow.stage("Twice", "hep.define", variables=[{"name": "y2", "expr": "x + 1", **more}]),
            flow.stage("Cut", "hep.select", selection={"All": ["y2 >= 0"]}),
            flow.stage("Last", "hep.select", selection={"All": ["y2 >= 1"]}),
        ]
        modifiers = [{"kind": "gpu.preload", "fields": list(fields), "on_missing": "cpu"}]
        pools = {"default": {"workers": 2, "modifiers": modifiers}}
        flow.write(stages, [small_files / "a.root"], execution={"backend": "local", "pools": pools})
        return flow.compile(machine=Machine(cpus=4, memory=16 * GB))

    assert compile_two("x", "y2")
    with pytest.raises(ConfigError) as failure:
        compile_two("y_2")
    (problem,) = failure.value.problems
    assert (problem.key, str(problem.hint)) == ("execution.pools.default.modifiers[0].fields[0]", "did you mean `y2`?")
    with pytest.raises(ConfigError) as failure:
        compile_two("y_2", nothing=1)  # what that stage writes is not known
    assert "unknown field `y_2`" not in str(failure.value)


def test_a_pool_without_gpus_is_one_mistake_for_all_its_stages(flow, small_files):
    stages = [flow.stage(f"Cut{number}", "hep.select", selection={"All": ["x >= 0"]}) for number in range(6)]
    pools = {"default": {"workers": 2, "modifiers": ["gpu.preload"]}}
    flow.write(stages, [small_files / "a.root"], execution={"backend": "local", "pools": pools})
    with pytest.raises(ConfigError) as failure:
        flow.compile()
    (problem,) = failure.value.problems
    needs = "modifier `gpu.preload` needs a GPU, and their pool `default` has none"
    assert problem.message == f"stages `Cut0`, `Cut1`, `Cut2`, `Cut3` and 2 more: {needs}"


def test_fields_stand_beside_the_kind(planned):
    for place, base in (("default", "execution.pools.default"), (None, "analysis.stages[0].execution")):
        modifier = {"kind": "profile", "params": {"what": "flame"}}
        with pytest.raises(ConfigError) as failure:
            planned(**{place: [modifier]}) if place else planned(modifier)
        (problem,) = failure.value.problems
        assert (problem.code, problem.key) == ("E102", f"{base}.modifiers[0].params")
        assert str(problem.hint) == "put the fields next to `kind`: `{kind: profile, what: …}`"
    with pytest.raises(ConfigError) as failure:
        planned({"Kind": "profile"})
    (problem,) = failure.value.problems
    assert "unknown key `Kind`" in problem.message
    assert str(problem.hint) == "did you mean `kind`?"


def test_modifiers_of_a_pool_that_nobody_asks_for_are_warned_of(planned, flow):
    planned()
    said = "`execution.pools.defalt.modifiers`: no stage runs on pool `defalt` (did you mean `default`?)"
    assert said in flow.compile(overrides=["execution.pools.defalt.modifiers=[profile]"]).warnings
    assert not flow.compile(overrides=["execution.pools.default.modifiers=[profile]"]).warnings
    pools = {"gpu": {**GPU["gpu"], "modifiers": ["profile"]}}
    (warning,) = planned(pools=pools).warnings
    assert warning.startswith("`execution.pools.gpu.modifiers`: no stage runs on pool `gpu`")
    machine = Machine(cpus=4, memory=16 * GB)
    plan = planned(pools=pools, machine=machine, require="gpu", fallback="default")  # elsewhere there may be GPUs
    assert not [warning for warning in plan.warnings if "modifiers" in warning]
