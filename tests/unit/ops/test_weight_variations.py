"""``hep.hist`` with many weights at once: bit by bit what it fills with each of them alone."""

from pathlib import Path
from random import Random

import awkward as ak
import numpy as np
import pytest

import fake_cupy
from fasthep_parsl.errors import OpError
from fasthep_parsl.interfaces import Context, DatasetInfo
from fasthep_parsl.ops import weights as weights_module
from fasthep_parsl.ops.axes import NOMINAL, VARIATION_AXIS, Axis
from fasthep_parsl.ops.histogram import histogram
from fasthep_parsl.ops.products import DatasetHistograms, merge_parts, nominal_of
from fasthep_parsl.ops.stream import Events
from fasthep_parsl.plan import PlanWeight
from fuzz.columns import Make, column
from fuzz.op_histograms import DTYPES, random_axis

DATASETS = (DatasetInfo("ds"), DatasetInfo("other"))
REGULAR = {"bins": {"nbins": 4, "low": 0, "high": 4}}


def context(weights=(), *, apart=True, dataset="ds"):
    info = next(each for each in DATASETS if each.name == dataset)
    return Context("HT", info, DATASETS, "ds-0", Path(), weights=tuple(weights), apart=apart)


def params(**given):
    model = histogram.op.params(**given)
    return {name: getattr(model, name) for name in type(model).model_fields}


def by_variation(made):
    """Return variation → (content with flow bins, categories of growing axes)."""
    hist = made.hist
    names = list(hist.axes[-1]) if hist.axes[-1].name == VARIATION_AXIS else [NOMINAL]
    view = np.asarray(hist.view(flow=True))
    return {name: view[..., i] if len(names) > 1 else view for i, name in enumerate(names)}


def case(random):
    """Return events, axes, and weights per event or object of which some are missing, NaN or infinite."""
    make = Make(random, random.choice([0, 1, 5, 40]))
    shared = random.choice("EEJJKO")
    fields = {}
    for _ in range(random.randint(1, 3)):
        structure, dtype = random.choice([shared, "E", "O", shared]), random.choice(DTYPES)
        structure, dtype = random.choice([(structure, dtype)] * 9 + [("S", "text")])
        fields[f"{structure}_{dtype}"] = make.field(structure, dtype)
    axes = [random_axis(random, name, field.dtype) for name, field in fields.items()]
    jagged = any(name[0] in "JK" for name in fields)
    for number in range(4):
        structure = random.choice("EEO" + (("K" if shared == "K" else "J") if jagged and random.random() < 0.3 else ""))
        fields[f"w{number}"] = make.field(structure, random.choice(["float64", "float64", "float32", "int16", "bool"]))
    events = Events({name: column(field) for name, field in fields.items()}, make.events)
    return events, axes


VARIED = (
    PlanWeight(variation="one", renames={"w0": "w1"}),
    PlanWeight(variation="two", multiply=("1.1", "w2")),
    PlanWeight(variation="three", renames={"w0": "w3"}, multiply=("0.5",)),
    PlanWeight(variation="written", multiply=("0.25",)),
)
TEXTS = {NOMINAL: "w0", "one": "w1", "two": "(w0) * (1.1) * (w2)", "three": "(w3) * (0.5)", "written": "(w0) * (0.25)"}


def compare(events, axes, storage):
    """Compare all weights in one call with one call each; return whether the case can be filled."""
    shared = {"axes": axes, **({"storage": storage} if storage else {})}
    try:
        alone = {
            name: histogram(events, **params(**shared, weight=text), context=context()).parts["ds"]
            for name, text in TEXTS.items()
        }
        plain = histogram(events, **params(axes=axes), context=context()).parts["ds"]
    except OpError as error:
        with pytest.raises(type(error)):
            histogram(events, **params(**shared, weight="w0"), context=context(VARIED))
        return False
    made = histogram(events, **params(**shared, weight="w0"), context=context(VARIED)).parts["ds"]
    assert made.none == plain.none + sum(each.none - plain.none for each in alone.values())
    assert made.nan == plain.nan + sum(each.nan - plain.nan for each in alone.values())
    grown = [i for i, axis in enumerate(made.hist.axes) if axis.traits.growth]
    for name, content in by_variation(made).items():
        hist, found = alone[name].hist, content
        for i in grown:  # a category that only other weights fill
            kept = [place for place, label in enumerate(made.hist.axes[i]) if label in list(hist.axes[i])]
            dropped = np.delete(found, kept, axis=i)
            assert not any(np.any(dropped[part]) for part in dropped.dtype.names or (...,))
            found = np.take(found, kept, axis=i)
        assert found.tobytes() == np.asarray(hist.view(flow=True)).tobytes(order="C"), name
    return True


@pytest.mark.slow
@pytest.mark.parametrize("block", range(4))
def test_one_call_is_as_one_call_for_each_weight(block):
    filled = 0
    for seed in range(60):
        random = Random(f"{block}-{seed}")
        events, axes = case(random)
        filled += compare(events, axes, random.choice(["", "", "double"]))
    assert filled > 30


@pytest.mark.parametrize("block", range(2))
def test_on_the_stand_in(block):
    filled = 0
    for seed in range(25):
        random = Random(f"gpu-{block}-{seed}")
        with fake_cupy.installed():
            events, axes = case(random)
            names = [] if any(name.startswith("S") for name in events) else list(events)
            filled += compare(events.on_gpu(names), axes, random.choice(["", "double"]))
    assert filled > 10


def test_in_several_groups(monkeypatch):
    """As if a table of all weights did not fit in memory."""
    monkeypatch.setattr(weights_module, "TABLE_BYTES", 16 * 40 * 2)
    for seed in range(40):
        compare(*case(Random(f"groups-{seed}")), "")


def test_a_plain_loop():
    """Sums and sums of squares in double precision, entry by entry."""
    random = np.random.default_rng(3)
    counts = random.integers(0, 4, 500)
    x = ak.unflatten(random.uniform(-1, 5, counts.sum()).round(1), counts)
    events = Events({"x": x, "w": random.normal(1, 1, 500), "up": random.normal(2, 1, 500)}, 500)
    weights = [PlanWeight(variation="up", renames={"w": "up"}), PlanWeight(variation="half", multiply=("0.5",))]
    made = histogram(events, **params(axes=[{"name": "x", **REGULAR}], weight="w"), context=context(weights))
    expected = np.zeros((3, 6, 2))
    for i, objects in enumerate(x.to_list()):
        for value in objects:
            place = 0 if value < 0 else min(int(value / 4 * 4), 4) + 1
            for k, w in enumerate((events["w"][i], events["up"][i], events["w"][i] * 0.5)):
                expected[k, place] += (w, w * w)
    for k, content in enumerate(by_variation(made.parts["ds"]).values()):
        if k < 3:  # the rest is the overflow of the axis
            assert content["value"].tolist() == expected[k, :, 0].tolist()
            assert content["variance"].tolist() == expected[k, :, 1].tolist()


def test_weights_that_do_not_apply():
    events = Events({"x": np.array([0.5, 1.5]), "w": np.array([1.0, 2.0])}, 2)
    weights = [
        PlanWeight(variation="up", multiply=("2",), datasets=("other",)),
        PlanWeight(variation="all", multiply=("3",)),
    ]
    given = params(axes=[{"name": "x", **REGULAR}], weight="w", dataset_axis=True)
    apart = histogram(events, **given, context=context(weights))
    assert [axis.name for axis in apart.parts["ds"].hist.axes] == ["x", VARIATION_AXIS]
    assert list(apart.parts["ds"].hist.axes[1]) == [NOMINAL, "all"]
    assert list(apart.dataset_axis.axis.categories) == ["ds", "other"]
    together = histogram(events, **given, context=context(weights, apart=False)).hist
    assert [axis.name for axis in together.axes] == ["x", "dataset", "variation"]
    for name, factor in ((NOMINAL, 1), ("up", 1), ("all", 3)):
        assert together[{"dataset": "ds", "variation": name}].values().tolist() == [factor, 2 * factor, 0, 0]
        assert not together[{"dataset": "other", "variation": name}].values().any()


@pytest.mark.parametrize("storage", [None, "count"])
def test_counts_with_a_variation_are_weighted(storage):
    events = Events({"x": np.array([0.5, 0.5])}, 2)
    given = params(axes=[{"name": "x", **REGULAR}], **({"storage": storage} if storage else {}))
    made = histogram(events, **given, context=context([PlanWeight(variation="up", multiply=("1.5",))])).parts["ds"]
    found = by_variation(made)
    assert (found[NOMINAL]["value"][1], found[NOMINAL]["variance"][1]) == (2, 2)
    assert (found["up"]["value"][1], found["up"]["variance"][1]) == (3, 4.5)
    without = histogram(events, **given, context=context()).parts["ds"]
    assert without.hist.storage_type.__name__ == "Int64"


def test_a_category_that_no_weight_fills_is_none():
    events = Events({"x": ak.Array(["a", "b"]), "w": np.array([1.0, np.nan])}, 2)
    weights = [PlanWeight(variation="up", multiply=("2",))]
    made = histogram(events, **params(axes=[{"name": "x"}], weight="w"), context=context(weights)).parts["ds"]
    assert list(made.hist.axes[0]) == ["a"]
    assert made.nan == 2


def test_the_table_is_shared_by_histograms_of_the_same_events(monkeypatch):
    made = []
    monkeypatch.setattr(
        weights_module, "table_of", lambda *given, plain=weights_module.table_of: made.append(1) or plain(*given)
    )
    columns = {"x": np.array([0.5, 1.5]), "w": np.array([1.0, 2.0])}
    events = Events(columns, 2)
    for stream in (events, events.select(["x", "w"]), events.filter(np.array([True, False]))):
        found = histogram(stream, **params(axes=[{"name": "x", **REGULAR}], weight="w"), context=context(VARIED[3:]))
        assert by_variation(found.parts["ds"])["written"]["value"][1] == 0.25
    assert len(made) == 2  # the first two are the same events


def test_parts_merge_in_any_order():
    random = np.random.default_rng(1)
    given = params(axes=[{"name": "n", "type": "int"}], weight="w", dataset_axis=True)
    weights = [PlanWeight(variation="up", multiply=("2",), datasets=("ds",))]

    def part(number, dataset):
        events = Events({"n": random.integers(0, number, 5), "w": random.integers(1, 9, 5).astype(float)}, 5)
        return histogram(events, **given, context=context(weights, dataset=dataset))

    a, b, c = part(3, "ds"), part(9, "other"), part(7, "ds")
    left, right = merge_parts(merge_parts(a, b), c), merge_parts(a, merge_parts(b, c))
    assert isinstance(left, DatasetHistograms)
    for name in ("ds", "other"):
        assert left.parts[name].hist == right.parts[name].hist
    nominal = nominal_of(left.parts["ds"]).hist
    assert nominal.ndim == 1
    assert nominal.sum(flow=True).value * 2 == left.parts["ds"].hist[{VARIATION_AXIS: "up"}].sum(flow=True).value
    assert nominal_of(left.parts["other"]) is left.parts["other"]


def test_effects_name_the_fields_that_only_weight():
    schema = {"x": (), "w": (), "v": ()}

    def weights(**given):
        return histogram.op.analyse(histogram.op.params(**given), schema).weights

    axes = [{"name": "x", **REGULAR}]
    assert weights(axes=axes) == frozenset()
    assert weights(axes=axes, weight="w * v") == {"w", "v"}
    assert weights(axes=axes, weight="w * x") == {"w"}
    assert weights(axes=axes, variations={"weights": {"nominal": "w"}}) is None


def test_one_parameter_with_three_names():
    events = Events({"x": np.array([0.5]), "w": np.array([3.0])}, 1)
    for name in ("weight", "weight_expr", "weights"):
        given = params(axes=[{"name": "x", **REGULAR}], **{name: "w"})
        assert histogram(events, **given).hist.sum().value == 3
    model = histogram.op.params(axes=[Axis(name="x", **REGULAR)], weight="w", weights="w")
    (problem,) = histogram.op.analyse(model, {"x": (), "w": ()}).problems
    assert (problem.path, problem.message) == (("weights",), "`weights` and `weight` are the same parameter")
