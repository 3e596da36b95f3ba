"""Parts of histograms: copies for regions and variations, weights, datasets that take the place of others."""

from types import SimpleNamespace

import hist
import numpy as np
import pytest

from fasthep_parsl.interfaces import DatasetInfo
from fasthep_parsl.ops.axes import NOMINAL, VARIATION_AXIS
from fasthep_parsl.ops.products import DatasetHistograms, Histogram, merge_parts
from fasthep_parsl.plan import PlanStage, PlanVariation, PlanWeight
from fasthep_parsl.results.parts import HistogramPart, parts

WEIGHTS = (PlanWeight(variation="w_up", datasets=("a",)), PlanWeight(variation="w_down", datasets=("a",)))


def part(content, *weights):
    """Return a histogram of two bins with `content` in the first one, and one more for each weight variation."""
    axes = [hist.axis.Regular(2, 0, 2, name="x")]
    if weights:
        axes.append(hist.axis.StrCategory([NOMINAL, *(name for name, _ in weights)], name=VARIATION_AXIS))
    made = hist.Hist(*axes, storage=hist.storage.Weight())
    view = made.view(flow=False)
    for number, value in enumerate((content, *(value for _, value in weights))):
        place = (0, number) if weights else (0,)
        view["value"][place], view["variance"][place] = value, value * value
    return Histogram(made)


def layout(*stages, variations=(), datasets="abc"):
    return SimpleNamespace(
        stages=[PlanStage(op="hep.hist", product="hist", **stage) for stage in stages],
        variations=[PlanVariation(group=v["name"], **v) for v in variations],
        datasets=[DatasetInfo(name) for name in datasets],
    )


def first(found: HistogramPart):
    return found.region, found.dataset, found.variation, found.source, float(found.histogram.hist.values()[0])


def test_weights_and_copies_of_the_datasets_to_which_they_apply():
    plan = layout(
        {"id": "HT", "weights": WEIGHTS},
        {"id": "HT@jes", "nominal": "HT", "variation": "jes", "datasets": ("b",)},
        variations=[{"name": "jes"}, {"name": "w_up"}, {"name": "w_down"}, {"name": "unused"}],
    )
    products = {
        ("HT", "hist"): DatasetHistograms({"b": part(2), "a": part(1, ("w_up", 1.5), ("w_down", 0.5))}),
        ("HT@jes", "hist"): DatasetHistograms({"b": part(3)}),
    }
    assert [first(found) for found in parts(plan, products)] == [
        ("", "a", "", "a", 1),
        ("", "a", "w_up", "a", 1.5),
        ("", "a", "w_down", "a", 0.5),
        ("", "b", "", "b", 2),
        ("", "b", "jes", "b", 3),
    ]


def test_regions_and_datasets_that_take_the_place_of_others():
    plan = layout(
        {"id": "HT@r1", "nominal": "HT", "region": "r1", "weights": WEIGHTS},
        {"id": "HT@r2", "nominal": "HT", "region": "r2"},
        {"id": "HT@r1@jes", "nominal": "HT", "region": "r1", "variation": "jes", "datasets": ("a",)},
        variations=[{"name": "me", "replaces": {"a": "c"}}, {"name": "jes"}, {"name": "w_up"}],
        datasets="ac",
    )
    products = {
        ("HT@r1", "hist"): DatasetHistograms({"a": part(1, ("w_up", 1.5), ("w_down", 0.5)), "c": part(10)}),
        ("HT@r2", "hist"): DatasetHistograms({"a": part(2), "c": part(20)}),
        ("HT@r1@jes", "hist"): DatasetHistograms({"a": part(3)}),
    }
    found = [first(each) for each in parts(plan, products, {copy: {"a": 2.0, "c": 0.5} for copy, _ in products})]
    assert found == [
        ("r1", "a", "", "a", 2),
        ("r1", "a", "me", "c", 5),
        ("r1", "a", "jes", "a", 6),
        ("r1", "a", "w_up", "a", 3),
        ("r1", "a", "w_down", "a", 1),
        ("r2", "a", "", "a", 4),
        ("r2", "a", "me", "c", 10),
    ]


def test_factors_scale_sums_of_squares_by_their_square_and_leave_the_product():
    plan = layout({"id": "HT"}, datasets="a")
    product = DatasetHistograms({"a": part(3)})
    (found,) = parts(plan, {("HT", "hist"): product}, {"HT": {"a": 0.5}})
    assert found.histogram.hist.values().tolist() == [1.5, 0]
    assert found.histogram.hist.variances().tolist() == [2.25, 0]
    assert product.parts["a"].hist.values().tolist() == [3, 0]


def test_counts_with_a_factor_become_sums_of_weights():
    counts = Histogram(hist.Hist(hist.axis.Regular(2, 0, 2, name="x"), storage=hist.storage.Int64()).fill([0.5] * 4))
    (found,) = parts(
        layout({"id": "HT"}, datasets="a"), {("HT", "hist"): DatasetHistograms({"a": counts})}, {"HT": {"a": 0.5}}
    )
    assert found.histogram.hist.values().tolist() == [2, 0]
    assert found.histogram.hist.variances().tolist() == [1, 0]


def test_a_dataset_without_events_is_left_out():
    plan = layout({"id": "HT"}, {"id": "HT@v", "nominal": "HT", "variation": "v"}, variations=[{"name": "v"}])
    products = {("HT", "hist"): DatasetHistograms({"a": part(1)}), ("HT@v", "hist"): DatasetHistograms({})}
    assert [first(found)[:3] for found in parts(plan, products)] == [("", "a", "")]


@pytest.mark.parametrize("split", [1, 2])
def test_merging_is_associative_over_datasets(split):
    pieces = [DatasetHistograms({name: part(value)}) for name, value in (("a", 1), ("b", 2), ("a", 4), ("c", 8))]
    left, right = pieces[:split], pieces[split:]

    def total(some):
        result = some[0]
        for other in some[1:]:
            result = merge_parts(result, other)
        return result

    made = merge_parts(total(left), total(right))
    assert {name: float(each.hist.values()[0]) for name, each in made.parts.items()} == {"a": 5, "b": 2, "c": 8}
    assert np.array_equal(made.parts["a"].hist.variances(), [17, 0])
