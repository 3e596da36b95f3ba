"""Results of copies, weights, regions, datasets and factors, against plain sums."""

import json
from random import Random

import hist
import numpy as np
import pytest
import uhi.io.json
import uhi.schema
import uproot

from fasthep_parsl.interfaces import DatasetInfo
from fasthep_parsl.ops.axes import NOMINAL, VARIATION_AXIS, Axis
from fasthep_parsl.ops.products import Cutflow, CutflowRow, DatasetAxis, DatasetHistograms, Histogram, joined
from fasthep_parsl.plan import PlanStage, PlanVariation, PlanWeight
from fasthep_parsl.results import ResultRecipe, assemble, write_results

NAMES = ("data", "tt", "w", "tt_alt")
INFOS = (DatasetInfo("data", "data"), DatasetInfo("tt"), DatasetInfo("w"), DatasetInfo("tt_alt"))
VARIATIONS = (
    PlanVariation(name="jes_up", group="jes", direction="up", datasets=("tt", "w")),
    PlanVariation(name="w_up", group="w", direction="up"),
    PlanVariation(name="alt", group="alt", replaces={"tt": "tt_alt"}),
)
AXES = {
    "regular": hist.axis.Regular(3, 0, 3, name="x", label="x [GeV]"),
    "int": hist.axis.IntCategory([], growth=True, name="x", label="x"),
    "text": hist.axis.StrCategory([], growth=True, name="x", label="x"),
}


def filled(random, kind, storage, weights=()):
    """Return a part with random content, and (bin, variation) → [sum, sum of squares]."""
    axes = [AXES[kind]]
    names = [NOMINAL, *weights]
    if weights:
        axes.append(hist.axis.StrCategory(names, name=VARIATION_AXIS))
    made = hist.Hist(*axes, storage=storage())
    truth = {}
    for _ in range(random.randint(0, 6)):
        x = random.randint(0, 4)
        place = {"regular": min(x, 3), "int": x, "text": "abcde"[x]}[kind]
        for name in names:
            w = 1 if storage is hist.storage.Int64 else random.randint(1, 8) / 4
            given = ["abcde"[x] if kind == "text" else x, *([name] if weights else [])]
            made.fill(*[[value] for value in given], **({} if storage is hist.storage.Int64 else {"weight": [w]}))
            cell = truth.setdefault((place, name), [0.0, 0.0])
            cell[0] += w
            cell[1] += w * w
    return Histogram(made, none=random.randint(0, 2), title="HT"), truth


def family(random, kind, storage, regions, with_axis):
    """Return stages, products, and (region, dataset, variation) → bin → [sum, sum of squares]."""
    weights = (PlanWeight(variation="w_up", datasets=("tt", "w")),) if random.random() < 0.7 else ()
    axis = DatasetAxis(Axis(name="dataset", type="category", bins=list(NAMES))) if with_axis else None
    stages, products, content = [], {}, {}
    for region in regions or ("",):
        own = f"HT@{region}" if region else "HT"
        copied = {"nominal": "HT", "region": region} if region else {}
        stages.append(PlanStage(id=own, op="hep.hist", product="hist", weights=weights, **copied))
        parts = {}
        for name in NAMES:
            if random.random() < 0.9:  # else no event of it was processed
                varied = ("w_up",) if weights and name in weights[0].datasets else ()
                parts[name], truth = filled(random, kind, hist.storage.Weight if weights else storage, varied)
                for (place, variation), cell in truth.items():
                    key = "" if variation == NOMINAL else variation
                    content.setdefault((region, name, key), {})[place] = cell
        products[own, "hist"] = DatasetHistograms(parts, axis)
        if random.random() < 0.7:
            stages.append(
                PlanStage(
                    id=f"{own}@jes_up",
                    op="hep.hist",
                    product="hist",
                    nominal="HT",
                    region=region,
                    variation="jes_up",
                    datasets=("tt", "w"),
                )
            )
            parts = {}
            for name in ("tt", "w"):
                parts[name], truth = filled(random, kind, storage)
                content[region, name, "jes_up"] = {place: cell for (place, _), cell in truth.items()}
            products[f"{own}@jes_up", "hist"] = DatasetHistograms(parts, axis)
    return stages, products, content


def expected(content, stages, region, dataset, variation, factors):
    """Return the content of a category by the rules: substitutes, copies, weights, else nominal."""
    own = f"HT@{region}" if region else "HT"
    copies = {stage.id: stage for stage in stages}
    source = "tt_alt" if (variation, dataset) == ("alt", "tt") else dataset
    key = ""
    if variation == "jes_up" and f"{own}@jes_up" in copies and source in ("tt", "w"):
        key = "jes_up"
    if variation == "w_up" and copies[own].weights and source in ("tt", "w"):
        key = "w_up"
    factor = factors.get(f"{own}@{key}" if key == "jes_up" else own, {}).get(source) if factors else 1.0
    if factor is None:
        return {}
    cells = content.get((region, source, key), {})
    return {place: (cell[0] * factor, cell[1] * factor**2) for place, cell in cells.items()}


@pytest.mark.slow
@pytest.mark.parametrize("kind", AXES)
@pytest.mark.parametrize("with_axis", [True, False])
@pytest.mark.parametrize("normalised", [True, False])
def test_against_plain_sums(kind, with_axis, normalised):
    for seed in range(5):
        random = Random(f"{kind}-{with_axis}-{normalised}-{seed}")
        storage = random.choice([hist.storage.Weight, hist.storage.Int64])
        regions = random.choice([(), ("r1",), ("r1", "r2")])
        stages, products, content = family(random, kind, storage, regions, with_axis)
        factors = {s.id: {"data": 1.0, "tt": 0.5, "w": None, "tt_alt": 0.25} for s in stages} if normalised else {}
        results = assemble(products, ResultRecipe(INFOS, tuple(stages), VARIATIONS, factors))
        assert set(results) <= {("HT", "hist"), ("HT", "hist-raw")}
        check(results["HT", "hist"], stages, content, factors, regions, with_axis)
        if normalised:
            check(results["HT", "hist-raw"], stages, content, {}, regions, with_axis)


def check(result, stages, content, factors, regions, with_axis):
    made = result.hist
    names = [axis.name for axis in made.axes]
    assert names == ["x", *(["region"] if regions else []), *(["dataset"] if with_axis else []), "variation"]
    assert (result.region_axis, result.variation_axis) == ("region" if regions else "", "variation")
    variations = list(made.axes[-1])
    assert variations[0] == NOMINAL
    assert "alt" in variations
    datasets = ("data", "tt", "w")
    if with_axis:
        assert tuple(made.axes["dataset"]) == datasets
    for region in regions or ("",):
        for variation in variations:
            for group in ([d] for d in datasets) if with_axis else [list(datasets)]:
                where = {"variation": variation, **({"region": region} if regions else {})}
                where |= {"dataset": group[0]} if with_axis else {}
                total = {}
                for dataset in group:
                    key = "" if variation == NOMINAL else variation
                    for place, cell in expected(content, stages, region, dataset, key, factors).items():
                        a = total.get(place, (0.0, 0.0))
                        total[place] = (a[0] + cell[0], a[1] + cell[1])
                assert cells(made[where]) == {place: cell for place, cell in total.items() if any(cell)}


def cells(single):
    axis = single.axes[0]
    growing = axis.traits.growth
    values = np.asarray(single.values(flow=not growing), float)
    view = single.view(flow=not growing)
    variances = view["variance"] if view.dtype.names else values
    labels = list(axis) if growing else [None, 0, 1, 2, 3]
    return {label: (v, s) for label, v, s in zip(labels, values, variances, strict=True) if v or s}


def test_files(tmp_path):
    """They are valid, and read back as they are."""
    stages, products, _ = family(Random("files-3"), "regular", hist.storage.Weight, ("r1", "r2"), True)
    factors = {stage.id: dict.fromkeys(NAMES, 0.5) for stage in stages}
    recipe = ResultRecipe(INFOS, tuple(stages), VARIATIONS, factors)
    results = assemble(products, recipe)
    write_results(products, tmp_path, recipe=recipe)
    for name in ("hist", "hist-raw"):
        text = (tmp_path / "results" / "HT" / f"{name}.json").read_text()
        uhi.schema.validate({"HT": json.loads(text)})
        read = hist.Hist(json.loads(text, object_hook=uhi.io.json.object_hook))
        assert np.array_equal(read.view(flow=True), results["HT", name].hist.view(flow=True))
    made = results["HT", "hist"].hist
    with uproot.open(tmp_path / "results" / "histograms.root") as file:
        keys = set(file.keys(cycle=False, filter_classname="TH1*"))
        assert keys == {f"HT/{region}/{dataset}" for region in ("r1", "r2") for dataset in ("data", "tt", "w")}
        expected = made[{"region": "r1", "dataset": "tt", "variation": NOMINAL}]
        assert np.array_equal(file["HT/r1/tt"].values(flow=True), expected.values(flow=True))
        assert np.array_equal(file["HT/r1/tt"].variances(flow=True), expected.variances(flow=True))
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == ["HT@r1.png", "HT@r2.png"]


def row(n, w):
    return CutflowRow("All", 0, "x > 0", 2 * n, n, 2 * w, w, 4 * w, 2 * w)


def test_cutflow_has_a_column_per_variation(tmp_path):
    stages = (
        PlanStage(id="Sel", op="c", product="cutflow", weights=(PlanWeight(variation="w_up", datasets=("tt",)),)),
        PlanStage(id="Sel@jes_up", op="c", product="cutflow", nominal="Sel", variation="jes_up", datasets=("w",)),
    )
    nominal = {name: (row(10 + i, 1.5),) for i, name in enumerate(NAMES)}
    products = {
        ("Sel", "cutflow"): Cutflow(nominal, weighted=True, nan=1, variations={"w_up": {"tt": (row(11, 3.0),)}}),
        ("Sel@jes_up", "cutflow"): Cutflow({"w": (row(7, 2.0),)}, weighted=True, nan=3),
    }
    factors = {"Sel": {"data": 1.0, "tt": 0.5, "w": 2.0, "tt_alt": 4.0}, "Sel@jes_up": {"w": 3.0}}
    recipe = ResultRecipe(INFOS, stages, VARIATIONS, factors)
    made = assemble(products, recipe)["Sel", "cutflow"]
    assert list(made.rows) == ["data", "tt", "w"]
    assert list(made.variations) == ["jes_up", "w_up", "alt"]
    assert made.nan == 1 + 2  # what the copy loses beyond the nominal one
    sums = {name: {d: rows[0].sumw_out for d, rows in found.items()} for name, found in made.variations.items()}
    assert sums == {
        "jes_up": {"data": 1.5, "tt": 0.75, "w": 6.0},
        "w_up": {"data": 1.5, "tt": 1.5, "w": 3.0},
        "alt": {"data": 1.5, "tt": 6.0, "w": 3.0},
    }
    assert made.variations["jes_up"]["w"][0].n_out == 7
    assert made.rows["tt"][0].sumw2_out == 3.0 * 0.25
    raw = assemble(products, recipe)["Sel", "cutflow-raw"]
    assert raw.rows["tt"][0].sumw_out == 1.5
    write_results(products, tmp_path, recipe=recipe)
    lines = (tmp_path / "results" / "Sel" / "cutflow.csv").read_text().splitlines()
    header = lines[0].split(",")
    assert header[-4:] == ["n_out@alt", "sumw_in@alt", "sumw_out@alt", "sumw2_out@alt"]
    tt = dict(zip(header, lines[2].split(","), strict=True))
    assert (tt["dataset"], tt["sumw_out"], tt["sumw_out@w_up"], tt["n_out@alt"]) == ("tt", "0.75", "1.5", "13")
    content = json.loads((tmp_path / "results" / "Sel" / "cutflow.json").read_text())
    assert content["variations"]["w_up"]["tt"][0]["sumw_out"] == 1.5
    assert (tmp_path / "results" / "Sel" / "cutflow-raw.csv").exists()


def test_other_products_of_copies_have_names_of_their_own(tmp_path):
    stages = (
        PlanStage(id="A", op="own", product="table"),
        PlanStage(id="A@jes_up", op="own", product="table", nominal="A", variation="jes_up"),
        PlanStage(id="B@r1@jes_up", op="own", product="table", nominal="B", region="r1", variation="jes_up"),
    )
    products = {("A", "table"): 1, ("A@jes_up", "table"): 2, ("B@r1@jes_up", "table"): 3}
    recipe = ResultRecipe(INFOS, stages, VARIATIONS)
    assert assemble(products, recipe) == {("A", "table"): 1, ("A", "table@jes_up"): 2, ("B", "table@r1@jes_up"): 3}
    write_results(products, tmp_path, recipe=recipe)
    assert (tmp_path / "results" / "B" / "table@r1@jes_up.json").read_text() == "3\n"


@pytest.mark.parametrize("position", [None, 0, 1])
def test_a_binding_gets_one_ordinary_histogram(position):
    axis = DatasetAxis(Axis(name="dataset", type="category", bins=list(NAMES)), position)
    parts = {
        name: filled(Random(name), "regular", hist.storage.Weight, ("w_up",) if name == "tt" else ())[0]
        for name in NAMES
    }
    made = joined(DatasetHistograms(parts, axis), {"tt_alt"}).hist
    assert made.axes["dataset"] == made.axes[0 if position == 0 else 1]
    assert not made[{"dataset": "tt_alt"}].values().any()
    for name in ("data", "tt", "w"):
        nominal = parts[name].hist[{VARIATION_AXIS: NOMINAL}] if name == "tt" else parts[name].hist
        assert np.array_equal(made[{"dataset": name}].view(flow=True), nominal.view(flow=True))
    summed = joined(DatasetHistograms(parts), {"tt_alt"}).hist
    assert np.allclose(summed.values(), made[{"dataset": sum}].values())
    assert joined(3) == 3


def test_a_user_axis_with_the_name_of_ours():
    own = hist.Hist(hist.axis.Regular(2, 0, 2, name="region"), hist.axis.Regular(2, 0, 2, name="variation"))
    stages = [PlanStage(id="HT@r", op="h", product="hist", nominal="HT", region="r")]
    stages.append(PlanStage(id="HT@r@v", op="h", product="hist", nominal="HT", region="r", variation="v"))
    products = {(stage.id, "hist"): DatasetHistograms({"tt": Histogram(own)}) for stage in stages}
    made = assemble(products, ResultRecipe(INFOS, tuple(stages)))["HT", "hist"]
    assert [axis.name for axis in made.hist.axes] == ["region", "variation", "region_", "systematic"]
