"""Histograms as JSON, ROOT and plots."""

import json
from pathlib import Path

import hist
import numpy as np
import pytest
import uhi.io.json
import uproot

from fasthep_parsl.interfaces import DatasetInfo
from fasthep_parsl.ops.products import Histogram
from fasthep_parsl.results import write_results
from fasthep_parsl.results.histograms import dataset_axis
from fasthep_parsl.results.plot_contents import contents
from fasthep_parsl.results.plot_recipe import Drawing, PlotRecipe
from fasthep_parsl.results.style import safe_text, y_label

DATASETS = (
    DatasetInfo("run_a", "data"),
    DatasetInfo("run_b", "data"),
    DatasetInfo("dy"),
    DatasetInfo("ww", group="diboson"),
    DatasetInfo("wz", group="diboson"),
)
NAMES = [dataset.name for dataset in DATASETS]


def datasets_axis() -> hist.axis.StrCategory:
    return hist.axis.StrCategory(NAMES, name="dataset")


def filled(*axes: object, storage: object = None) -> hist.Hist:
    made = hist.Hist(*axes, storage=storage or hist.storage.Weight())
    made.view(flow=True)  # exists
    return made


@pytest.fixture
def mass() -> hist.Hist:
    made = filled(datasets_axis(), hist.axis.Regular(4, 60, 120, name="m", label="Dimuon mass [GeV]"))
    for factor, name in enumerate(NAMES, start=1):
        made.fill(name, [50, 61, 76, 91, 91, 130], weight=0.5 * factor)
    return made


def written(tmp_path: Path, made: object, stage: str = "Mass", **options: object) -> list[str]:
    paths = write_results({(stage, "hist"): made}, tmp_path, datasets=DATASETS, **options)  # type: ignore[arg-type]
    assert all(path.is_file() for path in paths)
    assert [path for path in tmp_path.rglob("*") if path.name.startswith(".")] == []
    return [str(path.relative_to(tmp_path)) for path in paths]


def test_files(tmp_path: Path, mass: hist.Hist) -> None:
    assert written(tmp_path, Histogram(mass)) == [
        "results/Mass/hist.json", "results/histograms.root", "plots/Mass.png",
    ]  # fmt: skip
    assert written(tmp_path, Histogram(mass), plots=False)[-1] == "results/histograms.root"


def test_json_holds_the_histogram_and_what_was_not_filled(tmp_path: Path, mass: hist.Hist) -> None:
    written(tmp_path, Histogram(mass, none=3, nan=2, title="Z"), plots=False)
    text = (tmp_path / "results/Mass/hist.json").read_text()
    back = hist.Hist(json.loads(text, object_hook=uhi.io.json.object_hook))
    assert back.axes == mass.axes
    np.testing.assert_array_equal(back.view(flow=True), mass.view(flow=True))
    assert json.loads(text)["metadata"] == {"fasthep_title": "Z", "fasthep_none": 3, "fasthep_nan": 2}


def test_json_follows_the_uhi_schema(tmp_path: Path, mass: hist.Hist) -> None:
    pytest.importorskip("fastjsonschema", reason="uhi validates with fastjsonschema")
    from uhi import schema

    written(tmp_path, Histogram(mass, none=3, title="Z"), plots=False)
    schema.validate(json.loads((tmp_path / "results/Mass/hist.json").read_text()))


def test_json_metadata_is_flat(tmp_path: Path, mass: hist.Hist) -> None:
    written(tmp_path, Histogram(mass, none=3, title="Z"), plots=False)
    metadata = json.loads((tmp_path / "results/Mass/hist.json").read_text())["metadata"]
    assert all(isinstance(value, str | int | float) for value in metadata.values())


def test_root_has_one_histogram_per_dataset(tmp_path: Path, mass: hist.Hist) -> None:
    written(tmp_path, Histogram(mass, title="Z"), plots=False)
    with uproot.open(tmp_path / "results/histograms.root") as file:
        assert file.keys(recursive=True, cycle=False, filter_classname="TH1D") == [f"Mass/{name}" for name in NAMES]
        stored = file["Mass/dy"]
        assert stored.title == "Z"
        assert stored.member("fXaxis").member("fTitle") == "Dimuon mass [GeV]"
        np.testing.assert_array_equal(stored.values(flow=True), mass["dy", :].values(flow=True))
        np.testing.assert_array_equal(stored.variances(flow=True), mass["dy", :].variances(flow=True))


@pytest.mark.parametrize("storage", [hist.storage.Int64(), hist.storage.Double(), hist.storage.Weight()])
def test_root_knows_all_storages(tmp_path: Path, storage: object) -> None:
    made = hist.Hist(hist.axis.Variable([0, 1, 5], name="x"), storage=storage)
    made.fill([0.5, 2, 3, 7])
    written(tmp_path, Histogram(made), plots=False)
    with uproot.open(tmp_path / "results/histograms.root") as file:
        stored = file["Mass"]
        assert stored.classname == "TH1D"
        assert stored.values(flow=True).tolist() == [0, 1, 2, 1]
        assert stored.axis().edges().tolist() == [0, 1, 5]


def test_root_holds_categories_and_more_axes(tmp_path: Path) -> None:
    x, y, z = (hist.axis.Regular(2, 0, 1, name=name) for name in "xyz")
    made = hist.Hist(x, y, z)
    made.fill([0.1, 0.9], [0.1, 0.2], [0.9, 0.9])
    labels = hist.Hist(hist.axis.StrCategory(["mumu", "ee"], name="channel"))
    labels.fill(["ee", "ee", "mumu"])
    write_results({("Cube", "hist"): Histogram(made), ("Ch", "hist"): labels}, tmp_path, datasets=(), plots=False)
    with uproot.open(tmp_path / "results/histograms.root") as file:
        np.testing.assert_array_equal(file["Cube"].values(flow=True), made.values(flow=True))
        assert file["Ch"].axis().labels() == ["mumu", "ee"]
        assert file["Ch"].values()[:2].tolist() == [1, 2]


def test_two_histograms_of_a_stage(tmp_path: Path, mass: hist.Hist) -> None:
    products = {("S", "a"): mass, ("S", "b"): mass}
    write_results(products, tmp_path, datasets=DATASETS)
    assert {path.name for path in (tmp_path / "plots").iterdir()} == {"S-a.png", "S-b.png"}
    with uproot.open(tmp_path / "results/histograms.root") as file:
        assert "S/a/dy" in file


def test_layers_sum_data_and_groups(mass: hist.Hist) -> None:
    content = contents(Histogram(mass), [1], 0, Drawing(PlotRecipe(DATASETS)))
    data, simulation = content.data, content.simulation
    assert data is not None
    assert data.values.tolist() == [1.5, 1.5, 3.0, 0]  # weights 0.5 and 1
    assert data.variances.tolist() == [1.25, 1.25, 2.5, 0]
    assert (data.under, data.over) == (1.5, 1.5)
    assert [layer.label for layer in simulation] == ["dy", "diboson"]  # the smallest at the bottom
    assert simulation[1].values.tolist() == [4.5, 4.5, 9.0, 0]
    assert contents(Histogram(mass["dy", :]), [0], None, Drawing(PlotRecipe(DATASETS))).data is None


def test_colours_belong_to_datasets(mass: hist.Hist) -> None:
    def colours() -> dict[str, str]:
        found = contents(Histogram(mass), [1], 0, Drawing(PlotRecipe(DATASETS)))
        return {layer.label: layer.colour for layer in found.simulation}

    before = colours()
    mass["dy", :] = np.full((6, 2), 1000.0)  # dy is now the largest
    assert colours() == before


def test_dataset_axis_by_name_or_categories() -> None:
    x = hist.axis.Regular(2, 0, 1, name="x")
    assert dataset_axis(hist.Hist(x, datasets_axis()), ()) == 1
    assert dataset_axis(hist.Hist(hist.axis.StrCategory(["dy"], name="process"), x), DATASETS) == 0
    assert dataset_axis(hist.Hist(hist.axis.StrCategory(["ee"], name="channel"), x), DATASETS) is None
    assert dataset_axis(hist.Hist(hist.axis.IntCategory([1], name="n"), x), DATASETS) is None


@pytest.mark.parametrize(
    ("label", "edges", "expected"),
    [
        ("m [GeV]", [0, 2, 4], "Events / 2 GeV"),
        ("m [GeV]", [0, 1, 2], "Events / GeV"),
        ("m [GeV]", [0, 1, 5], "Events / GeV"),
        ("eta", [0, 0.1, 0.2], "Events / bin"),
        ("eta", [0, 1, 5], "Events / unit width"),
        ("n", None, "Events"),
    ],
)
def test_y_label(label: str, edges: list[float] | None, expected: str) -> None:
    widths = None if edges is None else np.diff(edges)
    axis = hist.axis.Variable(edges or [0, 1], label=label)
    assert y_label(axis, widths, edges is None or bool(np.allclose(widths, widths[0]))) == expected


def test_broken_formulas_are_drawn_as_they_are() -> None:
    assert safe_text(r"$p_T$ [GeV]") == r"$p_T$ [GeV]"
    assert safe_text(r"$\nosuch$") == r"\$\nosuch\$"


AXES = {
    "line": [hist.axis.Regular(3, 0, 1, name="x", label="$p_T [GeV]")],
    "stack": [datasets_axis(), hist.axis.Variable([0, 1, 3], name="x")],
    "datasets": [datasets_axis()],
    "categories": [hist.axis.StrCategory(["a", "b"], name="c"), datasets_axis()],
    "growing": [hist.axis.StrCategory([], growth=True, name="dataset"), hist.axis.Regular(2, 0, 1, name="x")],
    "no flow": [hist.axis.Regular(2, 0, 1, name="x", flow=False)],
    "integer": [hist.axis.Integer(0, 5, name="n")],
    "map": [datasets_axis(), hist.axis.Regular(2, 0, 1, name="x"), hist.axis.IntCategory([1, 2], name="y")],
    "plain map": [hist.axis.Regular(2, 0, 1, name="x"), hist.axis.Regular(2, 0, 1, name="y")],
    "variations": [hist.axis.StrCategory(["nominal", "up"], name="variation"), hist.axis.Regular(2, 0, 1, name="x")],
    "cube": [hist.axis.Regular(2, 0, 1, name=name) for name in "xyz"],
    "cube of datasets": [datasets_axis(), *(hist.axis.Regular(2, 0, 1, name=name) for name in "xyz")],
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(AXES))
def test_empty_histograms_are_drawn(tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    assert written(tmp_path, Histogram(filled(*AXES[kind])))[-1] == "plots/Mass.png"
    assert (tmp_path / "plots/Mass.png").read_bytes().startswith(b"\x89PNG")
    assert caplog.text == ""


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in AXES if kind != "growing"])
def test_filled_histograms_are_drawn(tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    made = filled(*AXES[kind])
    view = made.view(flow=True)
    view["value"], view["variance"] = np.arange(view.size).reshape(view.shape) - 1.0, 1.0
    assert written(tmp_path, Histogram(made, none=1, nan=2, title="T"))[-1] == "plots/Mass.png"
    assert caplog.text == ""


def test_steep_spectrum_is_drawn(tmp_path: Path) -> None:
    made = filled(hist.axis.Regular(20, 0, 1, name="x"))
    made.view()["value"] = 10.0 ** np.arange(20, 0, -1)
    assert "plots/Mass.png" in written(tmp_path, Histogram(made))


def test_a_picture_that_fails_loses_nothing_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = filled(hist.axis.Regular(2, 0, 1, name="x"))
    made.view()["value"] = np.inf
    names = written(tmp_path, Histogram(made))
    assert names[:2] == ["results/Mass/hist.json", "results/histograms.root"]
    if "plots/Mass.png" not in names:
        assert "was not drawn" in caplog.text


def test_names_in_any_script_are_drawn(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = filled(hist.axis.StrCategory(["/Single:✓/NANO", "数据", "[red]"], name="c", label="größe → ≤"))
    written(tmp_path, Histogram(made, title="✓ 数"))
    assert caplog.records == []
