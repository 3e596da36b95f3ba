"""Bins in plots: infinite bins, thousands of categories."""

import time

import hist
import numpy as np
import pytest

from fasthep_parsl.ops.products import Histogram
from fasthep_parsl.results.bins import MAX_TICKS, drawn_edges, ticks_of
from fasthep_parsl.results.histograms import write_root
from fasthep_parsl.results.plot_recipe import Drawing
from fasthep_parsl.results.plots import draw

INF = float("inf")


@pytest.mark.parametrize(
    ("edges", "drawn"),
    [
        ([-INF, 0, 100, INF], [-100, 0, 100, 200]),
        ([-INF, 3, INF], [2, 3, 4]),
        ([0, 1, 5, INF], [0, 1, 5, 9]),
        ([-INF, INF], [-1, 1]),
        ([0, 1, 5], [0, 1, 5]),
    ],
)
def test_bins_without_an_end(edges, drawn, tmp_path):
    axis = hist.axis.Variable(edges, name="x")
    assert drawn_edges(axis).tolist() == drawn
    histogram = Histogram(hist.Hist(axis, storage=hist.storage.Weight()).fill([-5.0, 2.0, 300.0]))
    draw(histogram, tmp_path / "x", Drawing())
    write_root({"x": histogram}, tmp_path / "x.root", ())


def test_pictures_of_thousands_of_categories(tmp_path):
    names = [str(number) for number in range(5000)]
    content = hist.Hist(hist.axis.StrCategory(names, name="run"), storage=hist.storage.Int64())
    content.view()[: len(names)] = np.arange(len(names))
    begun = time.process_time()
    draw(Histogram(content), tmp_path / "x", Drawing())
    assert time.process_time() - begun < 15  # 50 s with a text below each
    places, texts = ticks_of(names)
    assert len(places) <= MAX_TICKS
    assert texts == [names[place] for place in places]
    assert ticks_of(["a", "b"]) == ([0, 1], ["a", "b"])
