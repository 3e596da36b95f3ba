"""Borders of passes depend on the plan, not on bundles."""

from __future__ import annotations

import pytest

from fasthep_parsl.plan import Plan, PlanDataset, PlanFile, PlanSegment, PlanSource
from fasthep_parsl.worker import passes as module
from fasthep_parsl.worker.passes import Passes
from fasthep_parsl.worker.spans import union


def plan_of(*files, chunk=10, size=25, per_partition=False):
    segment = PlanSegment(id=0, pool="p", stages=("A",), per_partition=per_partition)
    listed = tuple(
        PlanFile(path=f"/{n}.root", entries=10 * count, edges=tuple(range(0, 10 * count + 1, 10)))
        for n, count in enumerate(files)
    )
    plan = Plan(
        name="p",
        chunk_size=chunk,
        pass_size=size,
        source=PlanSource(),
        datasets=(PlanDataset(name="d", files=listed),),
        stages=(),
        segments=(segment,),
        pools=(),
    )
    return Passes(plan, segment)


@pytest.mark.parametrize(
    ("facts", "kind"),
    [
        ({"files": (16,)}, "each"),
        ({"files": (17,)}, "fixed"),
        ({"files": (17,), "per_partition": True}, "each"),
        ({"files": (200,), "size": 40}, "each"),
        ({"files": (300,), "size": 40}, "free"),
        ({"files": (300,), "size": 39}, "fixed"),
    ],
)
def test_kinds(facts, kind):
    assert plan_of(*facts.pop("files"), **facts).kind == kind


def test_fixed_passes_begin_at_the_same_places_wherever_a_bundle_begins():
    passes = plan_of(5, 1, 20)
    whole = list(passes.cut([(0, 26)]))
    assert whole[:5] == [(0, 2), (2, 4), (4, 5), (5, 6), (6, 8)]  # two of 10 events fit; files are not joined
    assert union(whole) == [(0, 26)]
    for first in range(26):
        for last in range(first + 1, 27):
            cut = list(passes.cut([(first, last)]))
            assert union(cut) == [(first, last)]
            assert {b for _, b in cut} <= {b for _, b in whole} | {last}


def test_bundles_end_where_passes_do():
    passes = plan_of(5, 1, 20)
    ends = {b for _, b in passes.cut([(0, 26)])}
    for first in (0, 4, 6, 10):
        for stop in range(first + 1, 27):
            end = passes.end(stop, first, 26)
            assert end in ends
            assert first < end <= stop + 1
            assert end - first >= (stop - first) // 2


def test_free_passes_are_bound_by_size_and_file(monkeypatch):
    monkeypatch.setattr(module, "SMALL", 0)
    passes = plan_of(5, 300, size=40)
    assert list(passes.cut([(1, 12)])) == [(1, 5), (5, 9), (9, 12)]
    assert passes.end(7, 0, 20) == 7


def test_halves_are_cut_between_passes():
    passes = plan_of(5, 1, 20)
    assert passes.halves([(0, 5)]) == ([(0, 2)], [(2, 4), (4, 5)])
    assert passes.halves([(0, 2)]) == ([(0, 2)], [])
