"""Names that people give: as files, in ROOT files, in scripts and on a terminal."""

import json
import os
import re
import subprocess
import sys

import hist
import numpy as np
import pytest
import uhi.io.json
import uproot

from integration.test_bad_input import BASE, blocks, command, edited, files, here, underlined  # noqa: F401  (fixtures)

POOL = "    default: {workers: 2,"
STAGES = {
    "up": ("../../x", "cannot be the name of a folder"),
    "absolute": ("/abs", "cannot be the name of a folder"),
    "hidden": (".x", "a name must not begin with `.`"),
    "parent": ("..", "a name must not begin with `.`"),
    "line": ('"a\\nqueue 1000"', "expected a single line|a control character in text"),
    "escape": ('"\\e[31mred"', "a control character in text"),
    "nothing": ('"\\0"', "a control character in text"),
    "cycle": ('"a;1"', "for example `a_1`"),
    "blank": ("a b", "for example `a_b`"),
    "long": ("x" * 101, "at most 100 bytes"),
}


@pytest.mark.parametrize("where", ["stage", "pool"])
@pytest.mark.parametrize(("name", "said"), STAGES.values(), ids=STAGES)
def test_names_that_become_folders(here, capsys, where, name, said):  # noqa: F811
    change = ("id: Hist", f"id: {name}") if where == "stage" else (POOL, f"    {name}: {{workers: 2,")
    (here / "w.yaml").write_text(edited([change]))
    status, out, err = command(capsys, "run", "w.yaml", "--outdir", "out")
    assert (status, out) == (2, "")
    assert any(part in err for part in said.split("|"))
    assert re.search(r"--> w\.yaml:\d+:\d+", err)
    assert name.startswith(underlined(blocks(err)[0]).rstrip("…"))
    assert "\x1b" not in err
    assert sorted(here.rglob("x")) == []
    assert not (here / "out").exists()


def test_the_rest_is_checked_as_if_an_id_were_right(here, capsys):  # noqa: F811
    (here / "w.yaml").write_text(edited([("id: Hist", "id: ../../Hist"), ("op: hep.hist", "op: hep.hst")]))
    status, _, err = command(capsys, "plan", "w.yaml")
    assert status == 2
    assert "for example `Hist`" in err
    assert "did you mean `hep.hist`?" in err


@pytest.mark.parametrize(
    ("change", "marked", "said"),
    [
        (
            ("name: tt", "name: DY"),
            "DY",
            "datasets `dy` and `DY` have the same name in files: `dy` and `DY`",
        ),
        (("name: tt", "name: /dy/"), "/dy/", "datasets `dy` and `/dy/` have the same name in files: `dy`"),
        (("name: tt", "name: ///"), "///", "has no letter and no digit"),
        (("name: tt", 'name: "t\\nt"'), '"t\\nt"', "expected a single line"),
        (("id: Sel", "id: good"), "good", "ids `Good` and `good` differ only in case"),
        ((POOL, "    Default: {workers: 1}\n" + POOL), "Default", "pools `default` and `Default` differ only in case"),
    ],
)
def test_names_that_are_one_in_files(here, capsys, change, marked, said):  # noqa: F811
    text = edited([change]).replace("needs: [Sel]", "needs: [good]") if "id: good" in change else edited([change])
    (here / "w.yaml").write_text(text)
    status, _, err = command(capsys, "plan", "w.yaml")
    assert status == 2
    assert said in err
    assert underlined(blocks(err)[0]) == marked


DATASETS = """\
version: "1.0"
data:
  datasets:
    - {name: /SingleMuon/Run2018A-UL/NANOAOD, files: [1.root], eventtype: data}
    - {name: DY, files: [2.root]}
    - {name: DY/NLO, files: [3.root]}
    - {name: "a;1", files: [4.root]}
    - {name: "[red]b: ✓[/red]", files: [5.root]}
sources: {events: {kind: root_tree, tree: Events}}
analysis:
  stages:
    - {id: X, op: hep.hist, params: {axes: [{name: x, source: "x", bins: {nbins: 10, low: 0, high: 60}}], dataset_axis: true}}
    - {id: C, op: hep.selection.cutflow, params: {selection: [x > 5]}}
    - {id: W, op: hep.write, needs: [], params: {format: root, name: "{dataset}_{partition}"}}
execution: {backend: local}
"""


def test_datasets_named_as_in_catalogues(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in range(1, 6):
        with uproot.recreate(f"{number}.root") as file:
            file.mktree("Events", {"x": "f8"}).extend({"x": np.arange(10.0 * number)})
    (tmp_path / "w.yaml").write_text(DATASETS)
    status, out, _ = command(capsys, "run", "w.yaml")
    assert status == 0
    assert "[red]b: ✓[/red]" in re.sub(r"\s+", " ", out)
    names = ["/SingleMuon/Run2018A-UL/NANOAOD", "DY", "DY/NLO", "a;1", "[red]b: ✓[/red]"]
    with uproot.open("run/results/histograms.root") as root:
        found = {key: int(root[f"X/{key}"].values().sum()) for key in root["X"].keys(cycle=False)}
    assert list(found.values()) == [10, 20, 30, 40, 50]
    assert list(found)[:4] == ["SingleMuon_Run2018A-UL_NANOAOD", "DY", "DY_NLO", "a_1"]
    summary = json.loads((tmp_path / "run/run.json").read_text())
    assert summary["file_names"] == {name: key for name, key in zip(names, found, strict=True) if name != key}
    made = hist.Hist(
        json.loads((tmp_path / "run/results/X/hist.json").read_text(), object_hook=uhi.io.json.object_hook)
    )
    assert list(made.axes["dataset"]) == names
    assert list(json.loads((tmp_path / "run/results/C/cutflow.json").read_text())["datasets"]) == names
    written = json.loads((tmp_path / "run/results/W/manifest.json").read_text())["files"]
    assert {file["dataset"] for file in written} == set(names)
    for file in written:
        assert (tmp_path / "run/results/W" / file["path"]).parent == tmp_path / "run/results/W"


def test_nothing_that_is_shown_moves_the_cursor(here, capsys):  # noqa: F811
    """Messages hold what people wrote, and what foreign programs and files say."""
    title = ("needs: [Sel]\n      params:", 'needs: [Sel]\n      params:\n        title: "\\e[31m[bold]x[/bold]"')
    (here / "w.yaml").write_text(edited([title, ("MET_pt > 20", '"MET_\\e]0;owned\\a > 20"')]))
    status, out, err = command(capsys, "plan", "w.yaml")
    assert status == 2
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", out + err)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_streams_that_are_not_utf8(here, encoding):  # noqa: F811
    """Every command does what it does, with other characters."""
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    (here / "w.yaml").write_text(BASE)
    for words, code in (
        ("plan w.yaml", 0), ("run w.yaml", 0), ("run w.yaml", 2), ("plan nö.yaml", 2), ("ops show hep.hist", 0),
        ("sites list", 0), ("plan w.yaml --json", 0), ("demo-data --help", 0),
    ):  # fmt: skip
        process = subprocess.run([sys.executable, "-m", "fasthep_parsl", *words.split()], env=environment,
                                 capture_output=True, check=False)  # fmt: skip
        said = (process.stdout + process.stderr).decode("utf-8", errors="replace")
        assert (words, process.returncode) == (words, code), said
        assert "codec" not in said
        if words == "plan w.yaml":
            assert "partitions of <= " in said
        if "--json" in words:
            json.loads(process.stdout)


def test_a_reader_that_goes_away(here):  # noqa: F811
    (here / "w.yaml").write_text(BASE)
    for words in ("plan w.yaml", "run w.yaml", "plan w.yaml --json", "schema", "sites list", "ops list"):
        with subprocess.Popen([sys.executable, "-m", "fasthep_parsl", *words.split()], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as process:  # fmt: skip
            process.stdout.close()
            said = process.stderr.read().decode()
            assert (words, process.wait()) == (words, 0), said
        assert "rror" not in said


def test_files_whose_names_are_no_text(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = os.fsdecode(b"d\xe9j\xe0.root")
    with uproot.recreate("a.root") as file:
        file.mktree("Events", {"x": "f8"}).extend({"x": np.arange(10.0)})
    try:
        os.rename("a.root", name)  # noqa: PTH104
    except OSError:
        pytest.skip("this file system wants names in UTF-8")
    text = (
        BASE[: BASE.index("data:")]
        + "data: {datasets: [{name: d, files: ['*.root']}]}\n"
        + DATASETS[DATASETS.index("sources") :]
    )
    (tmp_path / "w.yaml").write_text(text)
    status, _, err = command(capsys, "plan", "w.yaml")
    assert status == 2
    assert r"the path of `d\udce9j\udce0.root` has a control character or is not UTF-8" in err
    assert underlined(blocks(err)[0]) == "'*.root'"
