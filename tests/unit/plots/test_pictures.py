"""Pictures, compared with stored ones. `pytest --mpl-generate-path=tests/unit/plots/baseline` makes them anew: look at them.

The tolerance lets other versions of matplotlib and FreeType shift text; the numbers are compared in ``test_numbers.py``.
"""

from __future__ import annotations

from dataclasses import replace

import hist
import pytest
from matplotlib import rc_context

from fasthep_parsl.ops.products import Histogram
from fasthep_parsl.results.plot_cutflows import draw_efficiencies
from fasthep_parsl.results.plots import _figure, figure_of
from fasthep_parsl.results.style import STYLE
from plot_samples import MASS, VARIATIONS, cutflow, drawing, many, peak, varied

SIZE = {"figure": {"size": [10, 7.5]}}
"""Of pictures with a legend beside the plot: their own size depends on the width of its letters."""
compared = pytest.mark.mpl_image_compare(baseline_dir="baseline", tolerance=12, savefig_kwargs={"dpi": 50}, style=STYLE)


@pytest.mark.slow
@compared
def test_stack():
    return figure_of(Histogram(peak(4000), none=4), drawing())


@compared
def test_experiment():
    style = {
        "style": {
            "experiment": "CMS", "label": "Preliminary", "com": 13,
            "datasets": {"dy": {"label": r"Z/$\gamma^*\to\mu\mu$"}, "ttbar": {"label": r"$t\bar{t}$"}},
        }
    }  # fmt: skip
    return figure_of(
        varied(), drawing(style, variations=VARIATIONS, luminosity=36300.0, normalised=True, region="4j1b")
    )


@pytest.mark.slow
@compared
def test_many_datasets():
    histogram, what = many()
    return figure_of(histogram, replace(what, style=drawing(SIZE).style))


@compared
def test_axis_that_holds_nothing():
    return figure_of(Histogram(peak(500, axis=hist.axis.Regular(12, 0, 0.12, name="m", label="mass [GeV]"))), drawing())


@compared
def test_map():
    made = hist.Hist(
        hist.axis.StrCategory(["data", "dy"], name="dataset"), MASS, hist.axis.Regular(5, 0, 5, name="n", label="jets"),
        storage=hist.storage.Weight(),
    )  # fmt: skip
    for name, weight in (("data", 1.0), ("dy", 0.7)):
        for jets in range(4):
            made.fill(name, MASS.centers[:: jets + 1], jets, weight=weight * (5 - jets))
    return figure_of(Histogram(made), drawing({"style": {"experiment": "LHCb"}}))


@compared
def test_cut_efficiencies():
    with rc_context(STYLE):
        figure = _figure(drawing(SIZE))
        draw_efficiencies(figure, cutflow(), drawing(SIZE), "Selection")
    return figure
