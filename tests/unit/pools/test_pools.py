import pytest

from fasthep_parsl.errors import Problem
from fasthep_parsl.pools.clamp import clamp
from fasthep_parsl.pools.model import Pool, build_pools
from fasthep_parsl.pools.routing import Route, route
from fasthep_parsl.resources.machine import Machine
from fasthep_parsl.resources.model import Resource
from fasthep_parsl.workflow.execution_model import Execution
from fasthep_parsl.workflow.stage_model import StageExecution

GB = 10**9
EXECUTION = Execution.model_validate(
    {
        "pools": {
            "default": {"workers": 4},
            "gpu": {"workers": 1, "resources": {"gpus": 1, "cpus": 4, "memory": "64GB"}},
            "himem": {"resources": "high_memory"},
        },
        "resources": {"high_memory": {"memory": "128GB"}, "unused": {"cpus": 2}},
    }
)
POOLS = build_pools(EXECUTION).value
NO_GPU = {"gpu": "this machine has no GPU"}


def routed(unavailable=(), pools=POOLS, execution=EXECUTION, **labels):
    return route("Train", StageExecution(**labels), execution, pools, dict(unavailable), path=("analysis", "stages", 2))


def test_pools_are_built_from_both_spellings():
    assert [(p.name, p.workers, p.resource_class, str(p.resource)) for p in POOLS] == [
        ("default", 4, "", "1 cpu, 2 GB"),
        ("gpu", 1, "", "4 cpus, 64 GB, 1 gpu"),
        ("himem", None, "high_memory", "1 cpu, 128 GB"),
    ]


def test_there_is_always_a_default_pool():
    assert build_pools(Execution()).value == (Pool("default"),)
    pools = build_pools(Execution.model_validate({"pools": {"gpu": {"resources": {"gpus": 1}}}})).value
    assert [pool.name for pool in pools] == ["default", "gpu"]


@pytest.mark.parametrize(
    ("resources", "hint"),
    [({}, "add `execution.resources.high_memry"), ({"high_memory": {}}, "did you mean `high_memory`?")],
)
def test_an_unknown_class_is_refused(resources, hint):
    execution = Execution.model_validate({"pools": {"big": {"resources": "high_memry"}}, "resources": resources})
    (problem,) = build_pools(execution).problems
    assert (problem.code, problem.key) == ("E142", "execution.pools.big.resources")
    assert hint in str(problem.hint)


@pytest.mark.parametrize(
    ("labels", "unavailable", "pool", "why"),
    [
        ({}, {}, "default", "no label"),
        ({"require": "gpu"}, {}, "gpu", "requires `gpu`"),
        ({"require": "high_memory"}, {}, "himem", "requires class `high_memory`"),
        ({"require": "gpu", "fallback": "default"}, {}, "gpu", "requires `gpu`"),
        ({"prefer": "gpu"}, {}, "gpu", "prefers `gpu`"),
        ({"prefer": "gpu"}, NO_GPU, "default", "prefers `gpu`, runs on `default`"),
        ({"prefer": "gpu", "fallback": "himem"}, NO_GPU, "himem", "prefers `gpu`, falls back to `himem`"),
        ({"prefer": "quantum"}, {}, "default", "prefers `quantum`, runs on `default`"),
        ({"prefer": "unused"}, {}, "default", "prefers `unused`, runs on `default`"),
        ({"fallback": "himem"}, {}, "himem", "falls back to `himem`"),
    ],
)  # fmt: skip
def test_labels_find_their_pool(labels, unavailable, pool, why):
    lacking = {"gpu": "this machine has no GPU"} if unavailable else {}
    lacking |= dict.fromkeys({"quantum", "unused"} & set(labels.values()), "no pool has this label")
    assert routed(unavailable, **labels) == Route(pool, why, lacking)


@pytest.mark.parametrize(
    ("label", "unavailable", "reason"),
    [("gpu", NO_GPU, "this machine has no GPU"), ("quantum", {}, "no pool has this label")],
)
def test_a_fallback_of_what_is_required_is_a_warning(label, unavailable, reason):
    found = routed(unavailable, require=label, fallback="default")
    assert found.pool == "default"
    assert found.why == f"requires `{label}`, falls back to `default`"
    assert found.lacking == {label: reason}
    assert found.warning == f"stage `Train` requires `{label}` ({reason}); it falls back to `default`"


def test_what_cannot_be_had_names_every_pool_and_a_fallback():
    found = routed(NO_GPU, require="gpu")
    assert isinstance(found, Problem)
    assert (found.code, found.key) == ("E141", "analysis.stages[2].execution.require")
    assert found.message == "stage `Train` requires `gpu`, which this site cannot provide: this machine has no GPU"
    assert str(found.hint) == (
        "write `fallback: default`; default: is not `gpu` (has 1 cpu, 2 GB); "
        "himem: is not `gpu` (of class `high_memory`)"
    )


def test_a_fallback_that_cannot_be_had_is_named_too():
    found = routed({**NO_GPU, "himem": "no memory"}, require="gpu", fallback="himem")
    assert isinstance(found, Problem)
    assert "fallback `himem`: no memory" in str(found.hint)
    assert "write `fallback: default`" in str(found.hint)


@pytest.mark.parametrize(
    ("labels", "key", "hint"),
    [
        ({"require": "gpuu"}, "require", "did you mean `gpu`?"),
        ({"prefer": "GPU"}, "prefer", "did you mean `gpu`?"),
        ({"prefer": "gpu", "fallback": "defualt"}, "fallback", "did you mean `default`?"),
        ({"require": "high_memry", "fallback": "default"}, "require", "did you mean `high_memory`"),
    ],
)
def test_misspelt_labels_are_refused(labels, key, hint):
    found = routed(**labels)
    assert isinstance(found, Problem)
    assert (found.code, found.key) == ("E140", f"analysis.stages[2].execution.{key}")
    assert hint in str(found.hint)


def test_short_labels_that_differ_are_not_taken_for_misspelt():
    execution = Execution.model_validate({"pools": {"cpu": {}}})
    assert routed(pools=build_pools(execution).value, execution=execution, prefer="gpu").pool == "default"


def test_a_pool_s_name_goes_before_a_class_and_a_class_has_several_pools():
    execution = Execution.model_validate(
        {"pools": {"a": {"resources": "b"}, "b": {"resources": "b"}, "c": {"resources": "k"}, "d": {"resources": "k"}},
         "resources": {"b": {}, "k": {}}}
    )  # fmt: skip
    pools = build_pools(execution).value
    assert routed(pools=pools, execution=execution, require="b").pool == "b"
    assert routed(pools=pools, execution=execution, require="k").pool == "c"
    assert routed({"c": "x"}, pools=pools, execution=execution, require="k").pool == "d"


def test_no_pool_at_all_is_an_error():
    found = routed(dict.fromkeys(("default", "gpu", "himem"), "too small"), prefer="gpu")
    assert isinstance(found, Problem)
    assert (found.message + str(found.hint)).count("too small") == 3
    assert "fallback" not in str(found.hint)


def pool(workers, **quantities):
    return Pool("p", workers, Resource(**quantities))


@pytest.mark.parametrize(
    ("wanted", "machine", "workers", "cpus", "memory", "said"),
    [
        (pool(2, memory=2 * GB), Machine(4, 16 * GB), 2, 1, 2 * GB, []),
        (pool(None, memory=2 * GB), Machine(4, 16 * GB), 4, 1, 2 * GB, []),
        (pool(None, memory=6 * GB), Machine(4, 16 * GB), 2, 1, 6 * GB, []),
        (pool(8, memory=2 * GB), Machine(4, 16 * GB), 4, 1, 2 * GB, ["8 → 4 workers (4 cpus have room for 4)"]),
        (pool(4, memory=6 * GB), Machine(4, 16 * GB), 2, 1, 6 * GB, ["4 → 2 workers (16 GB of memory have room for 2)"]),
        (pool(2, cpus=8, memory=GB), Machine(4, 16 * GB), 1, 4, GB, ["8 → 4 cpus per worker (this machine has 4)", "2 → 1 workers (4 cpus have room for 1)"]),
        (pool(1, memory=64 * GB), Machine(4, 16 * GB), 1, 1, 16 * GB, ["64 GB → 16 GB of memory per worker (all that this machine has)"]),
        (pool(3, gpus=1, memory=GB), Machine(8, 16 * GB, 2), 2, 1, GB, ["3 → 2 workers (2 GPUs have room for 2)"]),
        (pool(None, gpus=1, memory=GB), Machine(8, 16 * GB, 2), 2, 1, GB, []),
    ],
)  # fmt: skip
def test_pools_are_made_to_fit_and_it_is_said(wanted, machine, workers, cpus, memory, said):
    found = clamp(wanted, machine)
    assert (found.pool.workers, found.pool.cpus, found.pool.memory) == (workers, cpus, memory)
    assert list(found.warnings) == [f"pool `p`: {text}" for text in said]
    assert found.pool.workers * found.pool.cpus <= machine.cpus
    assert found.pool.workers * found.pool.memory <= machine.memory


@pytest.mark.parametrize(
    ("gpus", "reason"),
    [
        (0, "this machine has no GPU, the pool asks for 2 per worker"),
        (1, "this machine has 1 GPU, the pool asks for 2 per worker"),
    ],
)
def test_gpus_are_never_taken_away_silently(gpus, reason):
    found = clamp(pool(1, gpus=2), Machine(4, 16 * GB, gpus))
    assert (found.pool, found.reason) == (None, reason)


def test_workers_that_share_a_gpu_are_counted_by_what_they_share():
    wanted = Pool("p", None, Resource(gpus=1), workers_per_gpu=3)
    granted = clamp(wanted, Machine(16, 64 * GB, 2)).pool
    assert (granted.workers, granted.gpus, granted.workers_per_gpu) == (6, 1, 3)


@pytest.mark.parametrize("resources", [{"cpus": 2}, "small"])
def test_sharing_without_a_gpu_is_refused(resources):
    pools = {"p": {"workers_per_gpu": 2, "resources": resources}}
    execution = Execution.model_validate({"pools": pools, "resources": {"small": {"cpus": 1}}})
    (problem,) = build_pools(execution).problems
    assert (problem.code, problem.key) == ("E106", "execution.pools.p.workers_per_gpu")


def test_a_clamped_pool_keeps_the_rest():
    wanted = Pool("p", 1, Resource(disk="20GB", walltime="2h", gpus=1), "big")
    granted = clamp(wanted, Machine(4, 16 * GB, 1)).pool
    assert (granted.name, granted.resource, granted.disk, granted.walltime, granted.gpus) == (
        "p",
        "big",
        20 * GB,
        7200.0,
        1,
    )
