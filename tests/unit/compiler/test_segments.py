"""Stages are joined into segments as far as possible, and exactly the columns that are needed are read and stored."""

from __future__ import annotations

import pytest

HIST = {"axes": [{"name": "x", "source": "x", "type": "regular", "bins": {"nbins": 4, "low": 0, "high": 100}}]}


def stage(name, op, needs=None, pool="", bind=None, **params):
    return {
        "id": name,
        "op": op,
        "params": params,
        **({} if needs is None else {"needs": needs}),
        **({"execution": {"require": pool}} if pool else {}),
        **({"from": [bind]} if bind else {}),
    }


GIVEN = {"node": "All", "port": "all", "as": "given"}


def define(name, output, expr, needs=None, pool=""):
    return stage(name, "hep.define", needs, pool, variables=[{"name": output, "expr": expr}])


def select(name, cut, needs=None, pool=""):
    return stage(name, "hep.select", needs, pool, selection=[cut])


def table(plan):
    return [(s.stages, s.pool, s.input, s.columns, s.stores, s.after) for s in plan.segments]


@pytest.fixture
def compiled(flow, small_files):
    def compiled(*stages, **options):
        return flow.write(list(stages), [small_files / "a.root"]).compile(**options)

    return compiled


def test_branches_on_one_pool_share_one_read(compiled):
    plan = compiled(
        *[
            item
            for n in range(3)
            for item in (
                select(f"S{n}", f"x > {n}", needs=[]),
                stage(f"H{n}", "hep.hist", [f"S{n}"], **HIST),
            )
        ]
    )
    assert table(plan) == [(("S0", "H0", "S1", "H1", "S2", "H2"), "default", "", ("x",), {}, ())]
    assert plan.segments[0].products == ("H0", "H1", "H2")


def test_only_needed_branches_are_read(compiled):
    plan = compiled(define("D", "y", "sum(Jet_pt) + x"), stage("T", "probe.sum", ["D"], field="y"))
    assert plan.segments[0].columns == ("Jet_pt", "x")
    assert plan.stage("D").reads == ("Jet_pt", "x")
    assert plan.stage("D").writes == ("y",)
    assert plan.stage("D").keep == ("y",)
    assert plan.stage("T").keep == ()


def test_a_column_nobody_needs_is_not_kept_by_a_filter(compiled):
    plan = compiled(select("S", "sum(Jet_pt) > 3"), stage("T", "probe.sum", ["S"]))
    assert plan.segments[0].columns == ("Jet_pt", "x")
    assert plan.stage("S").keep == ("x",)


def test_another_pool_cuts_and_stores_what_is_needed_there(compiled):
    plan = compiled(
        define("D", "y", "sum(Jet_pt)"),
        define("E", "z", "x + y", pool="other"),
        stage("T", "probe.sum", ["E"], field="z"),
        stage("U", "probe.sum", ["D"], field="x"),
    )
    assert table(plan) == [
        (("D", "U"), "default", "", ("Jet_pt", "x"), {"D": ("x", "y")}, ()),
        (("E",), "other", "D", ("x", "y"), {"E": ("z",)}, ()),
        (("T",), "default", "E", ("z",), {}, ()),
    ]


def test_diamond_across_pools(compiled):
    plan = compiled(
        define("A", "a", "x * 2", needs=[]),
        stage("Left", "probe.sum", ["A"], "other", field="a"),
        stage("Right", "probe.sum", ["A"], "other", field="x"),
        stage("Mine", "probe.sum", ["A"], field="a"),
    )
    assert table(plan) == [
        (("A", "Mine"), "default", "", ("x",), {"A": ("a", "x")}, ()),
        (("Left", "Right"), "other", "A", ("a", "x"), {}, ()),
    ]


def test_a_product_of_the_whole_workflow_cuts(compiled):
    plan = compiled(
        define("A", "a", "x * 2"),
        stage("All", "probe.all", ["A"], field="a"),
        stage("Use", "probe.use", ["A"], bind=GIVEN),
        stage("T", "probe.sum", ["Use"], field="y"),
    )
    assert table(plan) == [
        (("A",), "default", "", ("x",), {"A": ("a", "x")}, ()),
        (("All",), "default", "A", ("a",), {}, ()),
        (("Use", "T"), "default", "A", ("x",), {}, (1,)),
    ]
    assert [s.scope for s in plan.segments] == ["partition", "workflow", "partition"]


def test_a_product_of_the_same_pool_that_is_bound_cuts(compiled):
    plan = compiled(
        stage("All", "probe.all", []),
        stage("Use", "probe.use", [], bind=GIVEN),
        stage("Free", "probe.sum", []),
    )
    assert table(plan) == [
        (("All",), "default", "", ("x",), {}, ()),
        (("Free",), "default", "", ("x",), {}, ()),
        (("Use",), "default", "", ("x",), {}, (0,)),
    ]


def test_every_stage_is_in_one_segment_and_segments_are_in_order(compiled):
    plan = compiled(
        define("A", "a", "x", pool="other"),
        define("B", "b", "a", pool="default"),
        define("C", "c", "a + b", pool="other"),
        stage("All", "probe.all", ["C"], field="c"),
        stage("Use", "probe.use", ["C"], bind=GIVEN),
        stage("T", "probe.sum", ["Use"], "other", field="y"),
    )
    names = [name for segment in plan.segments for name in segment.stages]
    assert sorted(names) == sorted(s.id for s in plan.stages)
    owner = {name: segment.id for segment in plan.segments for name in segment.stages}
    for number, segment in enumerate(plan.segments):
        assert segment.id == number
        assert all(before < number for before in segment.after)
        assert not segment.input or owner[segment.input] < number
        if segment.input:
            assert set(segment.columns) <= set(plan.segments[owner[segment.input]].stores[segment.input])


def test_stages_are_ordered_by_need_not_by_the_file(compiled):
    plan = compiled(
        stage("T", "probe.sum", ["D"], field="y"),
        define("D", "y", "x + 1", needs=[]),
    )
    assert plan.segments[0].stages == ("D", "T")


def test_one_writer_makes_the_segment_per_partition(compiled):
    plan = compiled(stage("T", "probe.sum", []), stage("W", "probe.alone", []))
    assert plan.segments[0].per_partition
    assert not compiled(stage("T", "probe.sum", [])).segments[0].per_partition


def test_a_stage_that_reads_nothing_needs_no_column(compiled):
    plan = compiled(stage("W", "probe.alone", []))
    assert plan.segments[0].columns == ()
