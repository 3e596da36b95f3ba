"""Factors are luminosity × cross-section / sum of exactly what was processed, or refused."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
import uproot

from fasthep_parsl.ops.stream import Events
from fasthep_parsl.ops.weight_sums import WeightSum, merge_weight_sums, sum_of_weights
from normalisation_cases import MC, RUNS, factor, paths, summary


def failing(flow, *at, once=""):
    """Stages in which events `at` fail, before a cutflow."""
    cuts = flow.stage("H", "hep.selection.cutflow", selection=["x % 2 == 0"], weight_expr="genWeight")
    return [flow.stage("Fail", "probe.fail", at=list(at), once=once), cuts]


@pytest.mark.slow
@pytest.mark.parametrize("chunk", [1, None])
@pytest.mark.parametrize("way", [None, RUNS, {"expr": "genWeight"}, "events", 1234.5])
def test_the_factor_is_exact_for_every_way_and_chunk(norm, nano, way, chunk):
    data = {"luminosity": "36.3 /fb", **({"sum_of_weights": way} if way else {})}
    flow = norm(data, mc={"files": paths(nano), **MC})
    outcome = flow.run(chunk_size=chunk)
    assert outcome.exit_code == 0, outcome.error
    every = np.concatenate(list(nano.values()))
    total = {"events": len(every), 1234.5: 1234.5}.get(way if not isinstance(way, dict) else None, math.fsum(every))
    found = factor(flow)
    assert found["factor"] == pytest.approx(36300 * 6200 / total, rel=1e-12)
    assert found["sum"] == pytest.approx(total, rel=1e-12)
    assert (found["luminosity"], found["xsec"]) == (36300, 6200)


@pytest.mark.parametrize("way", [RUNS, {"expr": "genWeight"}, "events"])
def test_a_whole_file_that_fails_is_left_out_on_both_sides(norm, nano, flow, way):
    norm({"luminosity": 100, "sum_of_weights": way}, failing(flow, *range(1000, 1045)), mc={"files": paths(nano), **MC})
    outcome = flow.run(chunk_size=7)
    assert outcome.exit_code == 3
    done = next(iter(nano.values()))
    total = len(done) if way == "events" else math.fsum(done)
    assert factor(flow)["factor"] == pytest.approx(100 * 6200 / total, rel=1e-12)


def test_a_part_of_a_file_that_fails_is_exact_or_refused_and_a_resume_mends_it(norm, nano, flow, tmp_path):
    once = str(tmp_path / "mended")
    data = {"luminosity": 100, "sum_of_weights": {"expr": "genWeight"}}
    norm(data, failing(flow, 1003, once=once), mc={"files": paths(nano), **MC})
    plan = flow.compile(chunk_size=7)
    assert flow.run(plan).exit_code == 3
    first, second, _ = nano.values()
    edges = np.array(plan.datasets[0].files[1].edges)
    bad = np.searchsorted(edges, 3, "right") - 1
    left = np.concatenate([first, second[: edges[bad]], second[edges[bad + 1] :]])
    assert factor(flow)["factor"] == pytest.approx(100 * 6200 / math.fsum(left), rel=1e-12)
    (tmp_path / "mended").touch()
    assert flow.run(plan, mode="resume").exit_code == 0
    assert factor(flow)["sum"] == pytest.approx(math.fsum([*first, *second]), rel=1e-12)


def test_the_sum_of_a_file_is_refused_for_a_part_of_it(norm, nano, flow):
    other = {"files": paths(nano, 0), **MC}
    norm({"luminosity": 100}, failing(flow, 1003), mc={"files": paths(nano, 1), **MC}, other=other)
    outcome = flow.run(chunk_size=7)
    assert outcome.exit_code == 3
    found = factor(flow)
    assert found["factor"] is None
    assert "1.root was processed only in part, and Runs.genEventSumw is known only for all of it" in found["why"]
    assert any("`mc` is not normalised" in warning for warning in summary(flow)["warnings"])
    assert factor(flow, "other")["factor"] > 0


def test_pools_that_lose_other_partitions_have_no_common_sum(norm, nano, flow):
    stages = [
        flow.stage("Good", "hep.select", selection=["x % 2 == 0"]),
        flow.stage("Fail", "probe.fail", ["Good"], pool="other", at=[1004]),
        flow.stage(
            "Far", "hep.selection.cutflow", ["Fail"], pool="other", selection=["x > 0"], weight_expr="genWeight"
        ),
        flow.stage("Near", "hep.selection.cutflow", ["Good"], selection=["x > 0"], weight_expr="genWeight"),
    ]
    data = {"luminosity": 100, "sum_of_weights": {"expr": "genWeight"}}
    norm(data, stages, mc={"files": paths(nano), **MC})
    assert flow.run(chunk_size=7).exit_code == 3
    assert factor(flow)["sum"] == pytest.approx(math.fsum(np.concatenate(list(nano.values()))), rel=1e-12)
    assert "failed in one pool but not in another" in summary(flow)["normalisation"]["stages"]["Far"]["mc"]["why"]


def test_data_have_the_factor_1_and_eras_their_own_luminosity(norm, nano, flow):
    norm(
        {"luminosity": 100},
        mc={"files": paths(nano, 0), "meta": {"xsec": "831.8 fb"}},
        real={"files": paths(nano, 1), "eventtype": "data"},
    )
    assert flow.run().exit_code == 0
    assert factor(flow, "real")["factor"] == 1
    assert factor(flow)["xsec"] == 0.8318


def test_weights_that_cancel_leave_no_normalised_result_and_no_exit_code_0(norm, nano, flow):
    norm(
        {"luminosity": 100, "sum_of_weights": {"expr": "genWeight * (1 - 2*(x % 2))"}},
        mc={"files": paths(nano, 0), **MC},
    )
    outcome = flow.run()
    assert outcome.exit_code == 3
    assert "`mc` is not normalised: its weights cancel" in outcome.error
    norm({"luminosity": 100, "sum_of_weights": {"expr": "genWeight / (x - 5)"}}, mc={"files": paths(nano, 0), **MC})
    outcome = flow.run(mode="force")
    assert "1 of its events have a NaN or infinite weight" in outcome.error


def test_the_cross_section_is_a_number_in_expressions(norm, nano, flow):
    norm(
        {},
        [flow.stage("C", "hep.selection.cutflow", selection=["x >= 0"], weight_expr="dataset.xsec")],
        mc={"files": paths(nano, 0), "xsec": "6.2 nb"},
    )
    outcome = flow.run()
    (row,) = outcome.products["C", "cutflow"].rows["mc"]
    assert row.sumw_out == 6200 * 60
    assert summary(flow)["normalisation"] == {}


@pytest.mark.parametrize("seed", range(3))
def test_sums_do_not_depend_on_how_events_are_cut(seed):
    random = np.random.default_rng(seed)
    weights = random.normal(0, 1, 2000) * 10.0 ** random.integers(-12, 12, 2000)
    edges = [0, *sorted(random.integers(0, 2000, 7)), 2000]
    parts = [Events({"w": weights[a:b]}, b - a) for a, b in itertools.pairwise(edges)]
    total = sum_of_weights(parts[0], weights={"mc": "w"})
    for part in parts[1:]:
        total = merge_weight_sums(total, sum_of_weights(part, weights={"mc": "w"}))
    row = total.rows["mc"]
    assert row.events == 2000
    assert row.high == pytest.approx(math.fsum(weights), rel=1e-15)
    assert (WeightSum(1, 1e16, 0.0) + WeightSum(1, 1.0, 0.0) + WeightSum(1, -1e16, 0.0)).high == 1.0


def test_data_need_no_weight_branch_and_eras_have_their_own_luminosity(norm, nano, flow):
    real = flow.folder / "real.root"
    with uproot.recreate(real) as file:
        file.mktree("Events", {"x": "int64"}).extend({"x": np.arange(7)})
    data = {"luminosity": {"2016": "36.3 /fb", "2017": 41500}, "sum_of_weights": {"expr": "genWeight"}}
    cuts = flow.stage("C", "hep.selection.cutflow", selection=["x >= 0"])
    mc = {"files": paths(nano, 0), **MC, "era": "2016"}
    other = {"files": paths(nano, 1), **MC, "era": 2017}
    norm(data, [cuts], mc=mc, other=other, real={"files": [str(real)], "eventtype": "data", "era": 2016})
    outcome = flow.run()
    assert outcome.exit_code == 0, outcome.error
    first, second, _ = nano.values()
    assert factor(flow)["factor"] == pytest.approx(36300 * 6200 / math.fsum(first), rel=1e-12)
    assert factor(flow, "other")["factor"] == pytest.approx(41500 * 6200 / math.fsum(second), rel=1e-12)
    assert factor(flow, "real")["factor"] == 1
    assert any("era `2017` has a luminosity, but no data" in warning for warning in outcome.summary["warnings"])


def test_sums_of_generated_weights_do_not_vary(norm, nano, flow):
    double = {
        "name": "double_up",
        "group": "double",
        "direction": "up",
        "replace": {"fields": {"genWeight": "genWeight * 2"}},
    }
    norm({"luminosity": 1, "sum_of_weights": {"expr": "genWeight"}}, mc={"files": paths(nano, 0), **MC})
    content = json.loads(flow.path.read_text())
    flow.path.write_text(json.dumps({**content, "systematics": {"variations": [{**double, "mode": "inline"}]}}))
    names = [stage.id for stage in flow.compile().stages]
    assert "H" in names
    assert [name for name in names if name.startswith("@sum")] == ["@sum_of_weights"]
