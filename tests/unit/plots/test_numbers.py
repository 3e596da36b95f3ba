"""Numbers in plots are those of the results: read from what matplotlib draws, and compared."""

from __future__ import annotations

import math
from dataclasses import replace

import hist
import numpy as np
import pytest
from matplotlib import rc_context
from matplotlib.container import ErrorbarContainer
from scipy import stats

from fasthep_parsl.interfaces import DatasetInfo
from fasthep_parsl.ops.products import Cutflow, CutflowRow, Histogram
from fasthep_parsl.results.axis_ranges import range_warnings
from fasthep_parsl.results.cut_efficiencies import efficiencies, weighted_efficiency
from fasthep_parsl.results.intervals import clopper_pearson, garwood
from fasthep_parsl.results.plot_contents import systematic_errors
from fasthep_parsl.results.plot_cutflows import draw_efficiencies
from fasthep_parsl.results.plot_recipe import PlotRecipe
from fasthep_parsl.results.plots import _figure, figure_of
from fasthep_parsl.results.style import STYLE
from plot_samples import DATASETS, MASS, VARIATIONS, cutflow, drawing, many, peak, varied

INSIDE = slice(1, -1)


def drawn(histogram, what):
    with rc_context(STYLE):
        return figure_of(histogram, what)


def stairs(ax):
    """Label → (top, bottom) of filled steps."""
    found = {}
    for patch in ax.patches:
        data = patch.get_data()
        found[patch.get_gid() or patch.get_label()] = (np.asarray(data.values), np.asarray(data.baseline))
    return found


def points(ax):
    """x, y, and the ends of the error bars."""
    (bars,) = [item for item in ax.containers if isinstance(item, ErrorbarContainer)]
    line, _, collections = bars
    segments = np.array([segment[:, 1] for segment in collections[-1].get_segments()])
    return line.get_xdata(), line.get_ydata(), segments


@pytest.mark.parametrize("counts", [[0, 1, 2, 3, 5, 10], [50, 999, 1e4], [99_999, 100_000, 1e7], [0.5, 3.7]])
def test_garwood_is_that_of_scipy(counts):
    low, high = garwood(counts)
    tail = stats.norm.sf(1)
    expected = [stats.chi2.ppf(tail, 2 * n) / 2 if n else 0 for n in counts]
    width = np.sqrt(np.add(counts, 1))
    np.testing.assert_allclose((low - expected) / width, 0, atol=1e-6)
    np.testing.assert_allclose((high - stats.chi2.isf(tail, 2 * np.add(counts, 1)) / 2) / width, 0, atol=1e-6)


def test_garwood_is_that_of_tables():
    """Table of the statistics committee of CMS: n = 0 … 3."""
    low, high = garwood([0, 1, 2, 3])
    assert low.tolist() == pytest.approx([0, 0.172753, 0.708185, 1.367295], abs=2e-6)
    assert high.tolist() == pytest.approx([1.841022, 3.299527, 4.637860, 5.918186], abs=2e-6)


def test_stack_data_band_and_ratio_are_the_results():
    made = peak(3000)
    figure = drawn(Histogram(made), drawing())
    main, ratio = figure.axes[:2]
    values = {name: made[{"dataset": name}].values() for name in ("dy", "ttbar", "ww", "zz", "data")}
    diboson = values["ww"] + values["zz"]
    total = values["dy"] + values["ttbar"] + diboson
    variance = sum(made[{"dataset": name}].variances() for name in ("dy", "ttbar", "ww", "zz"))
    found = stairs(main)
    for label, content in (("diboson", diboson), ("ttbar", values["ttbar"]), ("dy", values["dy"])):
        np.testing.assert_allclose(found[label][0] - found[label][1], content, rtol=1e-12)
    np.testing.assert_allclose(found["dy"][0], total, rtol=1e-12)  # the largest on top
    np.testing.assert_allclose(found["band"][0], total + np.sqrt(variance))
    np.testing.assert_allclose(found["band"][1], total - np.sqrt(variance))
    filled = values["data"] > 0
    x, y, ends = points(main)
    low, high = garwood(values["data"][filled])
    np.testing.assert_allclose(x, MASS.centers[filled])
    np.testing.assert_allclose(y, values["data"][filled])
    np.testing.assert_allclose(ends, np.stack([low, high], axis=1))
    x, y, ends = points(ratio)
    np.testing.assert_allclose(y, (values["data"] / total)[filled])
    np.testing.assert_allclose(ends, np.stack([low, high], axis=1) / total[filled, None])
    np.testing.assert_allclose(stairs(ratio)["band"][0], 1 + np.sqrt(variance) / total)


def test_systematic_band_adds_groups_in_quadrature():
    histogram = varied()
    figure = drawn(histogram, drawing(variations=VARIATIONS, normalised=True))
    made = histogram.hist
    nominal = made[{"variation": "nominal"}]
    simulation = [d.name for d in DATASETS if d.eventtype != "data"]
    total = sum(nominal[{"dataset": name}].values() for name in simulation)
    variance = sum(nominal[{"dataset": name}].variances() for name in simulation)
    top, bottom = stairs(figure.axes[0])["band"]
    np.testing.assert_allclose(top, total + np.sqrt(variance + (0.2 * total) ** 2 + (0.1 * total) ** 2))
    np.testing.assert_allclose(bottom, total - np.sqrt(variance + (0.1 * total) ** 2 + (0.1 * total) ** 2))
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels == ["Data", "dy", "ttbar", "diboson", "Stat. ⊕ syst. unc."]


def test_both_directions_on_one_side_count_once():
    totals = np.array([[10.0], [13.0], [12.0], [10.0]])
    up, down = systematic_errors(totals, ["nominal", "a_up", "a_down", "b"], lambda name: name[0])
    assert (up.tolist(), down.tolist()) == ([3.0], [0.0])


@pytest.mark.slow
def test_no_data_point_is_below_a_logarithmic_axis():
    histogram, what = many()
    for style in ({}, {"axes": {"y": {"scale": "log"}}}, {"axes": {"y": {"scale": "log", "limits": [100, 1e6]}}}):
        figure = drawn(histogram, replace(what, style=drawing(style).style))
        ax = figure.axes[0]
        assert ax.get_yscale() == "log"
        _, y, _ = points(ax)
        arrows = sum(len(line.get_xdata()) for line in ax.lines if line.get_gid() == "outside")
        assert (y < ax.get_ylim()[0]).sum() == (arrows if style.get("axes", {}).get("y", {}).get("limits") else 0)


def test_legend_covers_nothing():
    histogram, what = many()
    for one, other in ((Histogram(peak(3000)), drawing()), (histogram, what)):
        figure = drawn(one, other)
        ax = figure.axes[0]
        box = ax.get_legend().get_window_extent().transformed(ax.transData.inverted())
        tops = stairs(ax)["band"][0]
        edges = np.linspace(*ax.get_xlim(), len(tops) + 1)
        under = tops[(edges[1:] > box.x0) & (edges[:-1] < box.x1)]
        assert not len(under) or under.max() < box.y0
        assert (
            figure.bbox.contains(*ax.get_legend().get_window_extent().max)
            or ax.get_legend().get_window_extent().x1 <= figure.bbox.x1
        )


def test_overflow_is_said_of_each_dataset():
    figure = drawn(Histogram(peak(3000), none=3, nan=1), drawing())
    small = " ".join(text.get_text() for text in figure.texts)
    made = peak(3000)
    for name in ("data", "ttbar"):
        flow = made[{"dataset": name}].values(flow=True)
        assert f"{'Data' if name == 'data' else name} {flow[-1]:,.4g}" in small
    assert "missing values: 3; NaN (value or weight): 1" in small


def test_an_axis_that_holds_nothing_is_said():
    made = Histogram(peak(500, axis=hist.axis.Regular(12, 0, 0.12, name="mass", label="mass [GeV]")))
    (warning,) = range_warnings({("Mass", "hist"): made, ("Mass", "hist-raw"): made})
    assert warning == (
        "histogram `Mass`: axis `mass [GeV]` from 0 to 0.12 holds nothing: 100% is above 0.12; are its bins in the unit of"
        " the values?"
    )
    texts = " ".join(text.get_text() for text in drawn(made, drawing()).axes[0].texts)
    assert "holds" in texts
    assert range_warnings({("Mass", "hist"): Histogram(peak(500)), ("E", "hist"): Histogram(peak(0))}) == []


def test_the_axis_says_what_contents_are():
    def label(made, **more):
        return drawn(Histogram(made), drawing(**more)).axes[0].get_ylabel()

    counts = hist.Hist(hist.axis.StrCategory(["data", "dy"], name="dataset"), MASS, storage=hist.storage.Int64())
    counts.fill("dy", [91.0])
    assert label(peak(100)) == "Events (simulation: weighted) / 2 GeV"
    assert label(counts) == "Events (simulation: raw) / 2 GeV"
    assert label(peak(100), normalised=True) == "Events / 2 GeV"


def test_maps_have_one_scale_of_colours():
    made = hist.Hist(
        hist.axis.StrCategory(["data", "dy"], name="dataset"), MASS, hist.axis.Regular(3, 0, 3, name="n"),
        storage=hist.storage.Weight(),
    )  # fmt: skip
    made.fill("data", [91, 91, 61], [1, 1, 2])
    made.fill("dy", [91], [1], weight=7.5)
    figure = drawn(Histogram(made), drawing())
    left, right = (ax.collections[0] for ax in figure.axes[:2])
    assert left.get_clim() == right.get_clim() == (0, 7.5)
    np.testing.assert_array_equal(left.get_array().filled(0), made[{"dataset": "data"}].values().T)


def test_order_colours_and_labels_are_those_of_the_style():
    style = {
        "data_mc": {
            "data": "data",
            "signals": ["zz"],
            "backgrounds": ["ttbar", "dy"],
            "include_signals_in_stack": False,
        },
        "style": {"datasets": {"dy": {"label": "Z", "color": "#123456"}}, "experiment": "CMS", "lumi": 36.3, "com": 13},
    }
    figure = drawn(Histogram(peak(1000)), drawing(style))
    ax = figure.axes[0]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["Data", "zz", "ttbar", "Z", "Stat. unc."]
    found = stairs(ax)
    assert found["Z"][1].tolist() == [0] * 30  # at the bottom
    assert "ww" not in found
    (patch,) = [patch for patch in ax.patches if patch.get_label() == "Z"]
    assert patch.get_facecolor()[:3] == pytest.approx([0x12 / 255, 0x34 / 255, 0x56 / 255])
    assert ax.get_title(loc="right") == "36.3 fb$^{-1}$ (13 TeV)"
    assert "CMS" in [text.get_text() for text in ax.texts]


def test_efficiencies_are_those_of_the_cutflow():
    found = efficiencies(cutflow(), drawing())
    assert list(found) == ["Data", "dy", "ttbar", "diboson"]
    assert [one.value for one in found["Data"]] == [0.9, 0.81, 0.729, 0.656]
    rows = cutflow().rows
    left = rows["ww"][-1].n_out + rows["zz"][-1].n_out
    last = found["diboson"][-1]
    assert (last.value, last.low, last.high) == (left / 2000, *clopper_pearson(left, 2000))


@pytest.mark.parametrize("total", [1, 2, 10, 57.5, 1000, 50_000, 200_000, 10_000_000])
def test_clopper_pearson_is_that_of_scipy(total):
    tail = stats.norm.sf(1)
    for passed in {
        0,
        min(1, total),
        total / 3,
        total * 0.9,
        max(total - 1, 0),
        total,
        min(500, total),
        min(1500, total),
    }:
        low, high = clopper_pearson(passed, total)
        expected = (
            stats.beta.ppf(tail, passed, total - passed + 1) if passed else 0,
            stats.beta.isf(tail, passed + 1, total - passed) if passed < total else 1,
        )
        np.testing.assert_allclose((low, high), expected, rtol=0, atol=3e-5 * (expected[1] - expected[0]))


def test_errors_of_weighted_efficiencies():
    """Passed and failed events are independent; with one weight, the error is that of a binomial distribution."""
    start = CutflowRow("All", 0, "a", 100, 40, 200.0, 80.0, 400.0, 160.0)
    found = weighted_efficiency(start, start)
    assert (found.value, found.high - found.value) == pytest.approx((0.4, math.sqrt(0.4 * 0.6 / 100)))
    rng = np.random.default_rng(1)
    weight = rng.choice([1.0, -0.3, 4.0], (2000, 400))
    passed = rng.random(weight.shape) < 0.3
    row = CutflowRow("", 0, "", 400, 1, *(float(np.mean(part.sum(axis=1))) for part in (
        weight, weight * passed, weight**2, weight**2 * passed)))  # fmt: skip
    spread = np.std((weight * passed).sum(axis=1) / weight.sum(axis=1))
    found = weighted_efficiency(row, row)
    assert found.high - found.value == pytest.approx(spread, rel=0.05)


def test_no_event_and_each_event_have_errors():
    none = CutflowRow("All", 0, "a", 10, 0, 20.0, 0.0, 40.0, 0.0)
    every = replace(none, n_out=10, sumw_out=20.0, sumw2_out=40.0)
    assert weighted_efficiency(none, none).high == clopper_pearson(0, 10)[1] > 0.1
    assert weighted_efficiency(every, every).low == clopper_pearson(10, 10)[0] < 0.9


def test_selections_are_not_connected():
    rows = tuple(CutflowRow(name, k, f"cut {k}", 100, 50) for name in ("SR", "CR") for k in range(2))
    with rc_context(STYLE):
        figure = _figure(drawing())
        draw_efficiencies(figure, Cutflow({"dy": rows}), drawing(), "Selection")
    lines = [bars.lines[0].get_xdata().tolist() for bars in figure.axes[0].containers]
    assert lines == [[0, 1], [2, 3]]
    assert {"SR", "CR"} <= {text.get_text() for text in figure.axes[0].texts}


def test_more_datasets_than_colours_differ():
    _, what = many()
    figure = drawn(many()[0], what)
    looks = {
        (patch.get_facecolor(), patch.get_hatch()) for patch in figure.axes[0].patches if patch.get_gid() != "band"
    }
    assert len(looks) == 14


def test_weighted_data_have_the_root_of_the_sum_of_squares():
    made = hist.Hist(hist.axis.StrCategory(["d"], name="dataset"), MASS, storage=hist.storage.Weight())
    made.fill("d", [91.0, 91.0], weight=1.5)
    what = replace(drawing(), recipe=PlotRecipe((DatasetInfo("d", "data"),)))
    _, _, ends = points(drawn(Histogram(made), what).axes[0])
    assert ends.tolist() == [pytest.approx([3 - math.sqrt(4.5), 3 + math.sqrt(4.5)])]
