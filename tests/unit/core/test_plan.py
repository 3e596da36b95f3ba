"""The plan: partitions are found by number, it survives JSON, and its hash changes with what decides results."""

from __future__ import annotations

import time

import pytest
from pydantic import ValidationError

from fasthep_parsl.plan import Plan, PlanDataset, PlanFile, PlanPool, PlanSegment, PlanSource, PlanStage


def make_plan(*datasets, **facts):
    content = {
        "name": "p",
        "chunk_size": 10,
        "source": PlanSource(params={"tree": "Events"}),
        "datasets": tuple(
            PlanDataset(
                name=f"d{d}",
                files=tuple(
                    PlanFile(path=f"/{d}/{f}.root", entries=edges[-1], edges=tuple(edges))
                    for f, edges in enumerate(files)
                ),
            )
            for d, files in enumerate(datasets)
        ),
        "stages": (PlanStage(id="A", op="hep.select"),),
        "segments": (PlanSegment(id=0, pool="default", stages=("A",)),),
        "pools": (PlanPool(name="default", workers=2),),
    }
    return Plan(**{**content, **facts})


PLAN = make_plan([[0, 10, 20, 25], [0]], [[0]], [[0], [0, 7], [0, 3, 6]])


def test_partitions_are_numbered_through_all_files():
    assert PLAN.partitions == 6
    assert PLAN.entries == 38
    assert [PLAN.locate(n) for n in range(6)] == [(0, 0, 0), (0, 0, 1), (0, 0, 2), (2, 1, 0), (2, 2, 0), (2, 2, 1)]
    ranges = [PLAN.partition_range(n) for n in range(6)]
    assert [(d.name, f.path, a, b) for d, f, a, b in ranges] == [
        ("d0", "/0/0.root", 0, 10),
        ("d0", "/0/0.root", 10, 20),
        ("d0", "/0/0.root", 20, 25),
        ("d2", "/2/1.root", 0, 7),
        ("d2", "/2/2.root", 0, 3),
        ("d2", "/2/2.root", 3, 6),
    ]
    assert list(PLAN.dataset_partitions()) == [(0, 0, 3), (1, 3, 3), (2, 3, 6)]


def test_events_of_ranges_of_partitions():
    sizes = [b - a for _, _, a, b in map(PLAN.partition_range, range(6))]
    for first in range(7):
        assert PLAN.events_before(first) == sum(sizes[:first])
        for last in range(first, 7):
            assert PLAN.events_in(first, last) == sum(sizes[first:last])
    assert make_plan([[0]]).events_in(0, 0) == 0


def test_a_plan_survives_json():
    again = Plan.model_validate_json(PLAN.model_dump_json())
    assert again == PLAN
    assert again.hash == PLAN.hash


def test_a_plan_is_frozen_and_refuses_what_it_does_not_know():
    with pytest.raises(ValidationError):
        PLAN.chunk_size = 3
    with pytest.raises(ValidationError):
        make_plan(surprise=1)


@pytest.mark.parametrize(
    "change",
    [
        {"pools": (PlanPool(name="default", workers=64),)},
        {"warnings": ("w",)},
        {"backend": "local"},
        {"site": "elsewhere"},
        {"strategy": "slurm"},
        {"stages": (PlanStage(id="A", op="hep.select", why="prefers `gpu`", timeout=3),)},
    ],
)
def test_the_hash_ignores_who_computes(change):
    assert PLAN.model_copy(update=change).hash == PLAN.hash


@pytest.mark.parametrize(
    "change",
    [
        {"chunk_size": 11},
        {"pass_size": 100},
        {"source": PlanSource(params={"tree": "Runs"})},
        {"stages": (PlanStage(id="A", op="hep.select", params={"selection": ["x > 1"]}),)},
        {"stages": (PlanStage(id="A", op="hep.select", op_hash="other code"),)},
        {"datasets": PLAN.datasets[:2]},
        {"datasets": (PLAN.datasets[0].model_copy(update={"meta": {"xsec": 1.0}}), *PLAN.datasets[1:])},
    ],
)
def test_the_hash_changes_with_what_decides_results(change):
    assert PLAN.model_copy(update=change).hash != PLAN.hash


def test_a_file_that_was_changed_changes_the_hash():
    file = PLAN.datasets[0].files[0].model_copy(update={"mtime_ns": 5})
    dataset = PLAN.datasets[0].model_copy(update={"files": (file,)})
    assert PLAN.model_copy(update={"datasets": (dataset,)}).hash != PLAN.hash


def test_a_million_partitions_are_found_quickly():
    plan = make_plan([[*range(101)] for _ in range(10_000)])
    assert plan.partitions == 1_000_000
    plan.locate(0)
    began = time.process_time()
    for n in range(0, 1_000_000, 100):
        assert plan.locate(n) == (0, n // 100, 0)
        assert plan.events_before(n) == n
    assert time.process_time() - began < 2  # 10,000 look-ups; linear ones would take minutes


def with_file(**facts):
    file = PlanFile(**{"entries": 10, "edges": (0, 10), **facts})
    return make_plan().model_copy(update={"datasets": (PlanDataset(name="d", files=(file,)),)})


A, B, C = (f"root://{host}//store/1.root" for host in "abc")


def test_hash_does_not_depend_on_the_places_of_a_file_that_states_its_content():
    plan = with_file(path=A, uuid="1")
    for same in (
        {"path": B},
        {"path": A, "replicas": (A, B)},
        {"path": "/data/1.root", "replicas": ("/data/1.root", C)},
    ):
        assert with_file(uuid="1", **same).hash == plan.hash, same
    for other in ({"uuid": "2"}, {"uuid": "1", "entries": 11}, {"uuid": "1", "edges": (0, 5, 10)}):
        assert with_file(path=A, **other).hash != plan.hash, other


def test_hash_depends_on_the_path_of_a_file_that_does_not_state_its_content():
    assert with_file(path=A).hash != with_file(path=B).hash
    assert with_file(path=A).hash == with_file(path=A, replicas=(A, B)).hash
    assert with_file(path="/data/1.root", uuid="1").hash != with_file(path="/data/2.root", uuid="1").hash


def test_places_of_a_file():
    assert PlanFile(path=A, entries=0, edges=(0,)).places == (A,)
    assert PlanFile(path="/1.root", entries=0, edges=(0,), replicas=("/1.root", A)).places == ("/1.root", A)
    assert PlanFile(path="/1.root", entries=0, edges=(0,), replicas=("/1.root", A)).remote
    assert not PlanFile(path="/1.root", entries=0, edges=(0,)).remote


def test_hash_does_not_depend_on_time_limits():
    plan = make_plan()
    storage = plan.source.storage.model_copy(update={"open_timeout": 1.0, "avoid": {"root://a:1094": "refused"}})
    assert plan.model_copy(update={"source": plan.source.model_copy(update={"storage": storage})}).hash == plan.hash
