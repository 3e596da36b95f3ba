"""Axes of plots, their texts, and files."""

from __future__ import annotations

import hist
import numpy as np
import pytest
from matplotlib import rc_context

from fasthep_parsl.ops.products import Histogram
from fasthep_parsl.plan.styles import AxisStyle
from fasthep_parsl.results.plot_axes import ratio_limits
from fasthep_parsl.results.plot_binning import binning
from fasthep_parsl.results.plots import draw, figure_of
from fasthep_parsl.results.style import STYLE, short_number
from plot_samples import MASS, drawing, peak

INTEGERS = hist.axis.Integer(0, 4, name="n", label="jets")
CUBE = [hist.axis.Regular(2, 0, 1, name=name) for name in "xyz"]
LONG = "a label that says more than one expects, such as how it was made and corrected"
NAMES = [f"HLT_a_long_name_of_a_trigger_{n}_TuneCP5" for n in range(4)]


def filled(*axes, data=(), simulation=()):
    made = hist.Hist(hist.axis.StrCategory(["data", "dy"], name="dataset"), *axes, storage=hist.storage.Weight())
    for name, rows in (("data", data), ("dy", simulation)):
        for row in rows:
            made.fill(name, *row)
    return Histogram(made)


def drawn(histogram, style=None, **more):
    with rc_context(STYLE):
        figure = figure_of(histogram, drawing(style, **more))
        figure.canvas.draw()
    return figure


@pytest.mark.parametrize(("limits", "ends"), [(None, (-0.5, 3.5)), ([0, 3], (-0.5, 2.5)), ([0.5, 3], (0.5, 2.5))])
def test_integers_are_in_the_middle_of_their_bins(limits, ends):
    figure = drawn(filled(INTEGERS, data=[[0], [2]], simulation=[[0]]), {"axes": {"x": {"limits": limits}}})
    ax = figure.axes[0]
    (bars,) = ax.containers
    assert bars.lines[0].get_xdata().tolist() == [0, 2]
    assert ax.get_xlim() == ends
    assert ax.get_ylabel() == "Events (simulation: raw)"


def test_yes_and_no_have_names():
    figure = drawn(filled(hist.axis.Boolean(name="tight"), data=[[True]], simulation=[[False]]))
    assert [text.get_text() for text in figure.axes[1].get_xticklabels()] == ["False", "True"]


def test_an_axis_is_logarithmic_if_its_bins_are_or_the_style_says_so():
    log = hist.axis.Regular(3, 1, 1000, name="m", transform=hist.axis.transform.log)
    bins = binning(log, AxisStyle())
    assert bins.log
    assert bins.centres == pytest.approx([10**0.5, 10**1.5, 10**2.5])
    assert bins.scale == pytest.approx([1 / 9, 1 / 90, 1 / 900])
    assert not binning(log, AxisStyle(scale="linear")).log
    from_zero = binning(hist.axis.Variable([0, 1, 10], name="m"), AxisStyle(scale="log"))
    assert from_zero.edges == pytest.approx([0.1, 1, 10])
    assert from_zero.scale == pytest.approx([1, 1 / 9])
    assert not binning(hist.axis.Regular(3, -1, 1, name="eta"), AxisStyle(scale="log")).log


def test_a_bin_without_an_end_is_said_and_has_no_width():
    axis = hist.axis.Variable([0, 10, np.inf], name="m", label="m [GeV]")
    figure = drawn(filled(axis, data=[[5]], simulation=[[20]]), normalised=True)
    assert figure.axes[0].get_ylabel() == "Events / bin"
    assert any("no end" in text.get_text() for text in figure.texts)


def test_what_is_outside_of_two_axes_is_said_of_each_dataset():
    figure = drawn(filled(*CUBE[:2], data=[[2, 0.5], [0.5, 0.5]], simulation=[[-1, 2], [0.5, 3]]))
    assert "outside of the axes: Data 1; dy 2" in [text.get_text() for text in figure.texts]


def test_projections_say_their_overflow():
    figure = drawn(filled(*CUBE, data=[[2, 0.5, 0.5]], simulation=[[0.5, 0.5, -3]]))
    assert {"x: overflow: Data 1", "z: underflow: dy 1"} <= {text.get_text() for text in figure.texts}


def test_a_histogram_without_entries_says_so():
    assert "no entries" in [text.get_text() for text in drawn(filled(MASS)).axes[0].texts]


def test_the_band_of_a_negative_total_is_in_the_plot():
    made = filled(INTEGERS, data=[[1]])
    made.hist.fill("dy", [0, 1], weight=[-3, 2])
    ax = drawn(made).axes[0]
    (band,) = [patch for patch in ax.patches if patch.get_gid() == "band"]
    assert ax.get_ylim()[0] < band.get_data().baseline[0] == -6


@pytest.mark.parametrize(("ratio", "limits"), [(1.0, (0.8, 1.2)), (1.3, (0.5, 1.5)), (2.5, (0, 3)), (9.0, (0, 10))])
def test_ratio_limits(ratio, limits):
    assert ratio_limits(np.full(9, ratio), np.full(9, 0.01), np.full(9, 0.01)) == limits


@pytest.mark.parametrize(
    ("value", "text"),
    [(2.0, "2"), (0.3333, "0.333"), (2500.0, "2500"), (5e5, r"5$\times10^{5}$"), (1e-6, r"$10^{-6}$")],
)
def test_short_numbers(value, text):
    assert short_number(value) == text


def test_long_texts_are_inside():
    style = {"style": {"experiment": "CMS", "label": "Work in progress", "year": "2016-2018", "lumi": 138, "com": 13}}
    axes = [
        hist.axis.Regular(3, 0, 1e7, name="m", label=f"{LONG} {LONG} [MeV]"),
        hist.axis.StrCategory(NAMES, name="t", label="trigger"),
    ]
    for axis, value in zip(axes, (5.0, NAMES[0]), strict=True):
        made = filled(axis, data=[[value]], simulation=[[value]])
        figure = drawn(Histogram(made.hist, title=f"{LONG} {LONG}"), style, normalised=True, region="signal_region")
        box = figure.get_tightbbox(figure.canvas.get_renderer())
        width, height = figure.get_size_inches()
        assert box.x0 > -0.02
        assert box.y0 > -0.02
        assert box.x1 < width + 0.02
        assert box.y1 < height + 0.02


def test_files_are_the_same_each_time_and_text_is_text(tmp_path):
    for name in ("a", "b"):
        draw(Histogram(peak(100)), tmp_path / name, drawing(), formats=("pdf", "svg"))
    for kind in ("pdf", "svg"):
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()
    text = (tmp_path / "a.svg").read_text()
    assert ">diboson</text>" in text
    assert "'TeX Gyre Heros'\"" not in text  # other machines do not have this font
    assert b"/Subtype /Type0" in (tmp_path / "a.pdf").read_bytes()
