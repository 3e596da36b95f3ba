"""`init`: the workflow that it writes plans and runs as it is, and its histogram is that of plain NumPy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot
import yaml

import source_cases
from fasthep_parsl import run
from fasthep_parsl.cli.main import invoke
from fasthep_parsl.driver.api import compile_plan
from fasthep_parsl.errors import ConfigError
from fasthep_parsl.first_workflow.composition import write_first_workflow
from services.web import WebServer

NUMBERS = np.linspace(-3, 12, 40)
LISTS = ak.unflatten(np.arange(60.0), np.arange(40) % 4)


def tree(path: Path, columns: dict[str, Any], name: str = "Events") -> Path:
    with uproot.recreate(path) as file:
        file.mktree(name, {key: _type(column) for key, column in columns.items()}).extend(columns)
    return path


def _type(column: Any) -> Any:
    if isinstance(column, list):
        return "string"
    return (column.dtype, column.shape[1:]) if isinstance(column, np.ndarray) else ak.type(column).content


def ntuple(path: Path, columns: dict[str, Any]) -> Path:
    with uproot.recreate(path) as file:
        file.mkrntuple("Events", ak.zip({key: ak.Array(column) for key, column in columns.items()}, depth_limit=1))
    return path


def parquet(path: Path, columns: dict[str, Any]) -> Path:
    ak.to_parquet(ak.zip({key: ak.Array(column) for key, column in columns.items()}, depth_limit=1), path)
    return path


def columns_of(path: Path, name: str) -> dict[str, Any]:
    """Return all columns of a file, read without this package."""
    if path.suffix == ".parquet":
        found = ak.from_parquet(path)
        members = {f"{key}.{member}": found[key, member] for key in found.fields for member in found[key].fields}
        return {key: found[key] for key in found.fields} | members
    with uproot.open(path) as file:
        opened = file[name]
        return {key: opened[key].array() for key in opened.keys(recursive=True)}


def expected(path: Path, config: dict[str, Any]) -> tuple[Any, Any]:
    """Return the values in the bins of the histogram, and the axis, computed with NumPy."""
    fields = columns_of(path, config["sources"]["events"].get("tree", ""))
    fields |= {new: fields[spec["branch"]] for new, spec in config.get("fields", {}).items()}
    cut, histogram = config["analysis"]["stages"]
    (text,) = cut["params"]["selection"]["All"]
    (axis,) = histogram["params"]["axes"]
    values = fields[axis["source"]]
    names = {name: column for name, column in fields.items() if name.isidentifier()}
    if len(values):
        if text.startswith("not "):
            passed = ~np.asarray(names[text[4:]])
        elif "." in text.partition(" ")[0] and "(" not in text:  # Muon.x >= 1
            name, _, rest = text.partition(" ")
            passed = eval(f"x {rest}", {"x": fields[name]})
        else:
            text = text.replace(f"num({axis['source']})", "num(values)")
            passed = eval(text, {"num": ak.num, "values": values, **names})
        values = values[ak.fill_none(passed, False)]
    flat = ak.drop_none(ak.flatten(values, axis=None)) if values.ndim > 1 or axis.get("type") != "category" else values
    if axis.get("type") == "category":
        texts = ak.to_list(ak.flatten(values, axis=1) if values.ndim > 2 else values)
        return {text: texts.count(text) for text in dict.fromkeys(texts)}, axis
    if axis.get("type") == "bool":
        return [int(ak.sum(flat == False)), int(ak.sum(flat == True))], axis
    bins = axis["bins"]
    numbers = ak.to_numpy(flat)
    numbers = numbers[(numbers >= bins["low"]) & (numbers < bins["high"])]
    return np.histogram(numbers, bins["nbins"], (bins["low"], bins["high"]))[0], axis


def check(path: Path, folder: Path, *, plots: bool = False) -> dict[str, Any]:
    """Write a workflow, run it, compare its histogram, and return the workflow."""
    workflow = folder / "analysis.yaml"
    write_first_workflow([str(path)], workflow)
    config = yaml.safe_load(workflow.read_text())
    outcome = run(workflow, outdir=folder / "run", overrides=["execution.backend=local"], plots=plots)
    assert outcome.status == "complete"
    counts, axis = expected(path, config)
    stage = config["analysis"]["stages"][1]["id"]
    found = outcome.products[stage, "hist"].hist.project(axis["name"])
    if axis.get("type") == "category" and "bins" not in axis:
        assert dict(zip(found.axes[0], found.values(), strict=True)) == counts
    elif axis.get("type") == "category":
        assert dict(zip(found.axes[0], found.values(), strict=True)) == {c: counts[c] for c in axis["bins"]}
    else:
        # edges that are no binary fractions may fall to either side
        np.testing.assert_allclose(found.values(), counts, atol=1)
        assert found.values().sum() == np.sum(counts)
    if len(columns_of(path, config["sources"]["events"].get("tree", "")).popitem()[1]):
        assert np.sum(found.values()) > 0
    return config


ODD: dict[str, dict[str, Any]] = {
    "three": {"x": NUMBERS, "y": NUMBERS**2, "z": np.arange(40)},
    "one": {"x": NUMBERS},
    "dots": {"Muon.pt": NUMBERS, "Muon.x": NUMBERS},
    "spaces": {"jet pt": NUMBERS, "2nd": NUMBERS, "a-b": NUMBERS},
    "yaml": {"yes": NUMBERS, "null": NUMBERS + 1, "on": NUMBERS},
    "python": {"if": NUMBERS, "lambda": NUMBERS + 1},
    "functions": {"abs": NUMBERS, "pi": NUMBERS, "sum": NUMBERS},
    "formula": {"a$b$": NUMBERS, "c%": NUMBERS},
    "brackets": {"{x}": NUMBERS, "a, b: c # d": NUMBERS},
    "unicode": {"énergie": NUMBERS, "θ": NUMBERS},
    "jagged": {"px": LISTS, "py": LISTS},
    "booleans": {"a": np.zeros(40, bool), "b": np.arange(40) % 3 == 0},
    "false": {"a": np.zeros(40, bool)},
    "nan": {"x": np.where(np.arange(40) % 2, np.nan, NUMBERS), "y": np.where(np.arange(40) % 3, np.inf, NUMBERS)},
    "only nan": {"x": np.full(40, np.nan), "y": np.full(40, np.inf), "z": np.arange(40.0)},
    "constant": {"x": np.full(40, 91.1876), "y": np.full(40, -7)},
    "large": {
        "x": np.linspace(-1, 1, 40) * 1e308,
        "y": np.full(40, 2**64 - 1, np.uint64),
        "z": np.linspace(-1, 1, 40) * 1e140,
    },
    "small": {"x": np.linspace(1e-310, 2e-310, 40), "y": np.linspace(1e-7, 2e-7, 40)},
    "integers": {"i8": (np.arange(40) - 20).astype(np.int8), "u64": np.arange(40, dtype=np.uint64) * 10**15},
    "float32": {"x": NUMBERS.astype(np.float32), "y": (NUMBERS / 7).astype(np.float32)},
    "clash": {"a b": NUMBERS, "a_b": NUMBERS * 2},
    "fixed size": {"x": NUMBERS.reshape(10, 4), "m": NUMBERS.reshape(10, 2, 2)},
    "late": {"x": np.where(np.arange(6000) < 5990, np.nan, 3.0)},
    "integers beyond": {"a": np.array([2**62, 2**62 + 5, 0])},
    "quotes": {"word": ['a"b', "c\\d", "é", "1"] * 5},
    "cut": {"Cut": NUMBERS, "dataset": NUMBERS, "events": NUMBERS},
}


@pytest.mark.parametrize("name", ODD)
def test_a_workflow_for_an_odd_tree_runs_as_it_is(tmp_path, name):
    check(tree(tmp_path / "a.root", ODD[name]), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["formula", "booleans", "unicode"])
def test_its_plots_are_drawn(tmp_path, name):
    check(tree(tmp_path / "a.root", ODD[name]), tmp_path, plots=True)
    assert len(list((tmp_path / "run" / "plots").glob("*.png"))) == 2


@pytest.mark.parametrize("name", ["three", "spaces", "jagged", "booleans", "nan"])
def test_a_workflow_for_other_formats_runs_as_it_is(tmp_path, name):
    columns = {key.replace("/", " "): column for key, column in ODD[name].items()}
    check(parquet(tmp_path / "a.parquet", columns), tmp_path)
    if name != "spaces":
        (tmp_path / "n").mkdir()
        check(ntuple(tmp_path / "n" / "a.root", columns), tmp_path / "n")


def test_text_becomes_categories(tmp_path):
    words = ["mu", "e", "no", ""] * 10
    config = check(tree(tmp_path / "a.root", {"word": words}), tmp_path, plots=True)
    assert config["analysis"]["stages"][0]["params"]["selection"]["All"] == ['word != ""']
    (tmp_path / "many").mkdir()
    config = check(tree(tmp_path / "many" / "a.root", {"word": [f"w{n}" for n in range(40)]}), tmp_path / "many")
    assert len(config["analysis"]["stages"][1]["params"]["axes"][0]["bins"]) == 20


def test_lists_of_lists_and_missing_values_run(tmp_path):
    nested = ak.Array([[[1.0, 2.0], []], [], [[3.0]]])
    check(parquet(tmp_path / "a.parquet", {"deep": nested}), tmp_path)
    check(ntuple(tmp_path / "a.root", {"deep": nested}), tmp_path / "n")
    records = ak.Array([[{"pt": 1.0, "eta": 2}], [], [{"pt": 3.0, "eta": 1}]])
    check(parquet(tmp_path / "r.parquet", {"jets": records}), tmp_path / "r")
    (tmp_path / "b").mkdir()
    path = parquet(tmp_path / "b" / "a.parquet", {"x": ak.Array([1.0, None, 3.0]), "y": ak.Array([None, 2, 3])})
    check(path, tmp_path / "b")


@pytest.mark.parametrize("write", [tree, ntuple])
def test_a_file_without_events_runs(tmp_path, write):
    path = write(tmp_path / "a.root", {"x": np.zeros(0), "pt": ak.Array([[1.0]])[:0]})
    config = check(path, tmp_path)
    assert "bins" in config["analysis"]["stages"][1]["params"]["axes"][0]


def test_nanoaod_begins_with_muons(tmp_path, capsys):
    muons = np.arange(30) % 3
    columns = {
        **{name: np.arange(30) for name in ("run", "luminosityBlock", "event")},
        "Electron": ak.zip({"pt": ak.unflatten(np.arange(30.0), np.ones(30, int))}),
        "Muon": ak.zip({"eta": ak.unflatten(np.arange(30.0), muons), "pt": ak.unflatten(np.arange(30.0), muons)}),
    }
    path = tree(tmp_path / "nano.root", columns)
    config = check(path, tmp_path)
    cut, histogram = config["analysis"]["stages"]
    (axis,) = histogram["params"]["axes"]
    assert cut["params"]["selection"]["All"] == ["nMuon >= 1"]
    assert (axis["source"], axis["unit"]) == ("Muon_pt", "GeV")
    assert config["data"]["datasets"][0]["eventtype"] == "data"


def test_a_collection_that_is_empty_is_not_filled(tmp_path):
    empty = ak.unflatten(np.zeros(0), np.zeros(30, int))
    columns = {
        **{name: np.arange(30) for name in ("run", "luminosityBlock", "event")},
        "Muon": ak.zip({"pt": empty}),
        "Jet": ak.zip({"pt": ak.unflatten(np.arange(30.0), np.ones(30, int))}),
    }
    config = check(tree(tmp_path / "nano.root", columns), tmp_path)
    assert config["analysis"]["stages"][1]["params"]["axes"][0]["source"] == "Jet_pt"


def test_files_of_a_folder_are_datasets_by_their_names(tmp_path):
    for name in ("dy_000", "dy_001", "data_2016", "data_2017", "x[1]"):
        tree(tmp_path / f"{name}.root", {"x": NUMBERS})
    workflow = tmp_path / "sub" / "analysis.yaml"
    write_first_workflow([str(tmp_path)], workflow)
    found = {
        item["name"]: (item["files"], item["eventtype"])
        for item in yaml.safe_load(workflow.read_text())["data"]["datasets"]
    }
    assert found == {
        "data_2016": (["../data_2016.root"], "data"),
        "data_2017": (["../data_2017.root"], "data"),
        "dy": (["../dy_*.root"], "mc"),
        "x[1]": (["../x[1].root"], "mc"),
    }
    assert {name: len(files.files) for name, files in ((d.name, d) for d in compile_plan(workflow).datasets)}["dy"] == 2
    write_first_workflow([str(tmp_path / "d*_0*.root")], workflow, force=True)
    assert len(yaml.safe_load(workflow.read_text())["data"]["datasets"]) == 1


def test_only_branches_that_all_files_have_are_used(tmp_path):
    tree(tmp_path / "a.root", {"pt": NUMBERS, "x": NUMBERS})
    tree(tmp_path / "b.root", {"x": NUMBERS})
    write_first_workflow([str(tmp_path)], tmp_path / "analysis.yaml")
    assert "source: x" in (tmp_path / "analysis.yaml").read_text()


def test_a_branch_that_cannot_be_used_is_said(tmp_path, capsys):
    path = parquet(tmp_path / "a.parquet", {"pt": np.full(3, 2**64 - 1, np.uint64), "jet x": np.arange(3)})
    assert invoke(["init", str(path), "-o", str(tmp_path / "analysis.yaml")]) == 0
    out = capsys.readouterr().out
    assert "not taken: `pt` has values above 2⁶³ − 1" in out
    assert "jet x (in expressions: jet_x)" in out


def test_files_on_a_server_are_datasets(tmp_path, no_credentials, authority, monkeypatch, capsys):
    monkeypatch.setenv("X509_CERT_DIR", str(authority.certificates))
    token = authority.token_file(path=tmp_path / "token")
    monkeypatch.setenv("BEARER_TOKEN_FILE", str(token))
    workflow = tmp_path / "analysis.yaml"
    with WebServer(authority.host) as server:
        server.tokens = {token.read_text().strip()}
        content = tree(tmp_path / "dy_1.root", {"x": NUMBERS}).read_bytes()
        server.files |= {"/a/dy_1.root": content, "/a/dy_2.root": content}
        urls = [server.url("/a/dy_1.root"), server.url("/a/dy_2.root")]
        assert invoke(["init", *urls, "-o", str(workflow)]) == 0, capsys.readouterr().err
        (dataset,) = yaml.safe_load(workflow.read_text())["data"]["datasets"]
        assert (dataset["name"], dataset["files"]) == ("dy", urls)


def test_nothing_is_overwritten_without_force(tmp_path, capsys):
    path = tree(tmp_path / "a.root", {"x": NUMBERS})
    workflow = tmp_path / "analysis.yaml"
    workflow.write_text("mine")
    assert invoke(["init", str(path), "-o", str(workflow)]) == 2
    assert "--force" in capsys.readouterr().err
    assert workflow.read_text() == "mine"
    assert invoke(["init", str(path), "-o", str(workflow), "--force"]) == 0
    assert "source: x" in workflow.read_text()
    assert f"fasthep-parsl run {workflow}" in capsys.readouterr().out
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.startswith(".")] == []


@pytest.mark.slow
def test_without_files_there_are_demo_data(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert invoke(["init"]) == 0
    assert "fasthep-parsl run analysis.yaml" in capsys.readouterr().out
    assert sum(entry.stat().st_size for entry in (tmp_path / "data").iterdir()) < 1_000_000
    datasets = {d.name: d.eventtype for d in compile_plan("analysis.yaml").datasets}
    assert datasets == {"data": "data", "dy": "mc", "ttbar": "mc", "zz": "mc"}
    assert invoke(["run", "analysis.yaml", "--backend", "local"]) == 0
    assert list((tmp_path / "run" / "plots").glob("*.png"))


@pytest.mark.parametrize(
    "kind", ["missing", "pattern", "folder", "damaged", "no branches", "unusable", "foreign data", "tree"]
)
def test_files_that_cannot_be_used_are_explained(tmp_path, monkeypatch, capsys, kind):
    monkeypatch.chdir(tmp_path)
    given, words = ["a.root"], ""
    match kind:
        case "missing":
            words = "no such file"
        case "pattern":
            given, words = ["b*.root"], "no file matches"
        case "folder":
            (tmp_path / "a.root").mkdir()
            words = "has no files"
        case "damaged":
            whole = source_cases.write_tree(tmp_path / "a.root")
            tree(tmp_path / "0.root", {"weight": NUMBERS})
            whole.write_bytes(whole.read_bytes()[:3000])
            given, words = ["0.root", "a.root"], "a.root"
        case "no branches":
            given, words = (
                [str(parquet(tmp_path / "a.parquet", {"when": np.arange(3).astype("datetime64[s]")}))],
                "no branch",
            )
        case "unusable":
            given, words = (
                [str(parquet(tmp_path / "a.parquet", {"when": np.arange(3).astype("datetime64[s]")}))],
                "has dates",
            )
        case "foreign data":
            (tmp_path / "data").mkdir()
            (tmp_path / "data" / "mine.root").touch()
            given, words = [], "fasthep-parsl init data"
        case "tree":
            tree(tmp_path / "a.root", {"x": NUMBERS})
            given, words = ["a.root", "--tree", "Event"], "did you mean `Events`?"
    assert invoke(["init", *given]) == 2
    done = capsys.readouterr()
    assert words in done.err
    assert "bug" not in done.err
    assert not (tmp_path / "analysis.yaml").exists()
    with pytest.raises(ConfigError):
        write_first_workflow(
            given if kind != "foreign data" else ["data"],
            tmp_path / "new.yaml",
            tree="Event" if kind == "tree" else None,
        )
    assert json.dumps(given)
