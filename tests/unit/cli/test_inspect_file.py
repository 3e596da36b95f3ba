"""``inspect``: what it prints of files of all formats, also damaged ones."""

from __future__ import annotations

import json

import awkward as ak
import hist
import numpy as np
import pytest
import uproot

import source_cases
from fasthep_parsl.cli.main import invoke
from fasthep_parsl.sources.folded import fold
from fasthep_parsl.sources.inspected import InspectedFile, inspect_file
from services.web import WebServer


@pytest.fixture
def show(capsys, monkeypatch):
    """Run `inspect` in 80 columns; return exit code, output and errors."""
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments: object):
        code = invoke(["inspect", *map(str, arguments)])
        done = capsys.readouterr()
        return code, done.out, done.err

    return run


@pytest.fixture(scope="module")
def nanoaod(tmp_path_factory):
    """A file with 200 branches, in collections as NanoAOD has them."""
    path = tmp_path_factory.mktemp("nano") / "nano.root"
    muons = ak.Array([[1.0, 2.0], [], [3.0]])
    columns = {f"HLT_Path{number}": np.zeros(3, bool) for number in range(120)}
    columns |= {f"C{number}": ak.zip(dict.fromkeys(("pt", "eta", "phi", "mass"), muons)) for number in range(24)}
    columns |= {
        "Muon": ak.zip({"pt": muons, "charge": ak.values_astype(muons, np.int32)}),
        "run": np.ones(3, np.uint32),
    }
    columns |= {"MET_pt": np.ones(3), "MET_phi": np.ones(3), "MET_sumEt": np.ones(3)}
    with uproot.recreate(path) as file:
        tree = file.mktree("Events", {name: _type(column) for name, column in columns.items()})
        tree.extend(columns)
        file["Runs"] = {"sum": np.ones(1)}
    return path


def _type(column):
    return column.dtype if isinstance(column, np.ndarray) else ak.type(column).content


def test_the_branches_of_nanoaod_fit_on_a_screen(show, nanoaod):
    code, out, _ = show(nanoaod)
    lines = out.splitlines()
    assert code == 0
    assert len(lines) < 40
    assert max(len(line) for line in lines if str(nanoaod) not in line) <= 80
    assert "TTree Events: 3 entries in 1 cluster, 247 branches" in out
    assert "shown: Events, by its name; also in the file: Runs (1 entry)" in out
    assert [line.split()[:2] for line in lines if line.startswith("HLT_…")] == [["HLT_…", "120"]]
    for name in ("C0[nC0]", "Muon[nMuon]", "MET_…", "run"):
        assert name in out, name


def test_all_branches_are_in_the_groups_once_and_their_sizes_add_up(nanoaod):
    tree = inspect_file(str(nanoaod)).tree
    groups = fold(tree.branches)
    names = [branch.name for group in groups for branch in group.branches]
    counters = {"nMuon", *(f"nC{number}" for number in range(24))}
    assert len(names) == len(set(names))
    assert set(names) | counters == {branch.name for branch in tree.branches}
    assert sum(group.bytes for group in groups) == tree.bytes > 0
    assert {group.name: group.types for group in groups}["Muon[nMuon]"] == "float64, int32"


def test_search_lists_branches_with_their_types(show, nanoaod):
    code, out, _ = show(nanoaod, "--search", "muon")
    assert code == 0
    rows = [line.split()[:4] for line in out.splitlines() if line.startswith(("Muon", "nMuon"))]
    assert rows == [
        ["Muon_pt", "list", "of", "float64"],
        ["Muon_charge", "list", "of", "int32"],
        ["nMuon", "int32", *rows[2][2:]],
    ]
    code, out, _ = show(nanoaod, "--search", "Muon_pd")
    assert (code, "did you mean `Muon_pt`" in out) == (1, True)


def test_titles_are_shown_and_found_unless_they_repeat_the_name(tmp_path):
    branches = [
        ("pt", "pt of the jet"),
        ("x", "x/F"),
        ("Jet_y", "Jet_y[nJet]/F"),
        ("a.b", "b[n][3]/D"),
        ("p", "px/F:py"),
    ]
    from fasthep_parsl.sources.inspected import _title

    assert [_title(*branch) for branch in branches] == ["pt of the jet", "", "", "", "px/F:py"]


@pytest.mark.parametrize("kind", ["tree", "ntuple", "parquet"])
def test_formats_have_the_same_types_and_every_size(tmp_path, show, kind):
    if kind == "parquet":
        path = source_cases.write_parquet(tmp_path / "a.parquet")
    else:
        write = source_cases.write_tree if kind == "tree" else source_cases.write_ntuple
        path = write(tmp_path / "a.root", "events")
    found = inspect_file(str(path))
    types = {branch.name: branch.type for branch in found.tree.branches}
    assert (found.tree.entries, found.tree.clusters, found.bytes) == (120, 3, path.stat().st_size)
    expected = {
        "weight": "float32",
        "good": "bool",
        "Muon_pt": "list of float32",
        "Jet_mass": "list of float64",
        "word": "text",
    }
    assert {name: types[name] for name in expected} == expected
    assert 0 < found.tree.bytes < found.bytes
    assert found.tree.bytes == sum(branch.bytes for branch in found.tree.branches)
    assert all(branch.bytes for branch in found.tree.branches if not branch.name.startswith("n"))
    code, out, _ = show(path)
    assert code == 0
    unit = "3 row groups" if kind == "parquet" else "3 clusters"
    assert f"120 entries in {unit}" in out
    assert out.index("run ") < out.index("word ")  # few branches are in the order of the file


def test_json_is_what_the_model_says(show, nanoaod):
    code, out, _ = show(nanoaod, "--json")
    found = InspectedFile.model_validate_json(out)
    assert code == 0
    assert (found.tree.name, len(found.tree.branches), found.objects[1].name) == ("Events", 247, "Runs")
    _, out, _ = show(nanoaod, "--json", "--search", "Muon_pt")
    assert [branch["name"] for branch in json.loads(out)["tree"]["branches"]] == ["Muon_pt"]


def test_members_of_objects_are_folded_under_their_object(tmp_path, show):
    path = tmp_path / "a.parquet"
    ak.to_parquet(ak.Array({"jets": [[{"pt": 1.0, "eta": 2}], []], "x": [1, 2]}), path)
    found = inspect_file(str(path))
    (jets,) = [group for group in fold(found.tree.branches) if group.name.startswith("jets")]
    assert (jets.name, [branch.name for branch in jets.branches]) == ("jets[]", ["jets.pt", "jets.eta"])
    assert jets.bytes == sum(branch.bytes or 0 for branch in found.tree.branches if branch.name.startswith("jets"))
    assert "its members" not in show(path)[1]


def test_the_largest_tree_is_chosen_if_none_is_called_events(tmp_path):
    path = tmp_path / "a.root"
    with uproot.recreate(path) as file:
        file["small"] = {"x": np.arange(2.0)}
        file["folder/large"] = {"x": np.arange(5000.0)}
    assert inspect_file(str(path)).tree.name == "folder/large"
    assert inspect_file(str(path)).tree.chosen == "largest"
    assert inspect_file(str(path), "small").tree.entries == 2
    with uproot.update(path) as file:
        file["Events"] = {"x": np.arange(1.0)}
    assert inspect_file(str(path)).tree.name == "Events"


def test_the_newest_cycle_of_a_tree_is_read(tmp_path):
    path = tmp_path / "a.root"
    with uproot.recreate(path) as file:
        file["Events"] = {"x": np.arange(2.0)}
        file["Events"] = {"x": np.arange(3.0)}
    found = inspect_file(str(path))
    assert [item.name for item in found.objects] == ["Events"]
    assert (found.tree.entries, found.tree.chosen) == (3, "only")


@pytest.mark.parametrize(
    "kind", ["missing", "folder", "text", "empty", "truncated", "histograms", "no tree", "parquet tree"]
)
def test_files_that_cannot_be_shown_are_explained(tmp_path, show, kind):
    path, more, words = tmp_path / "a.root", [], ""
    whole = source_cases.write_tree(tmp_path / "whole.root")
    match kind:
        case "missing":
            path, words = (
                tmp_path / "whol.root",
                "no such file",
            )
        case "folder":
            path, words = tmp_path, "is a folder"
        case "text":
            path.write_text("x,y\n1,2\n")
            words = "not a ROOT or Parquet file"
        case "empty":
            path.touch()
            words = "the file is empty"
        case "truncated":
            path.write_bytes(whole.read_bytes()[:2000])
            words = "truncated"
        case "histograms":
            with uproot.recreate(path) as file:
                file["plots/h"] = hist.Hist.new.Reg(3, 0, 1).Weight()
            words = "plots/h (TH1D)"
        case "no tree":
            path, more, words = whole, ["--tree", "Event"], "did you mean `Events`?"
        case "parquet tree":
            path, more = source_cases.write_parquet(tmp_path / "a.parquet"), ["--tree", "Events"]
            words = "a Parquet file has no trees"
    code, out, err = show(path, *more)
    assert (code, out) == (2, "")
    assert words in err
    assert "Traceback" not in err
    assert "bug" not in err


def test_names_with_escape_sequences_do_not_reach_the_terminal(tmp_path, show):
    path = tmp_path / "a.parquet"
    ak.to_parquet(ak.Array({"x\x1b[31m": [1.0, 2.0]}), path)
    assert "\x1b" not in show(path)[1]


def test_a_file_on_a_server_is_read_with_the_token_of_the_user(tmp_path, show, no_credentials, authority, monkeypatch):
    monkeypatch.setenv("X509_CERT_DIR", str(authority.certificates))
    token = authority.token_file(path=tmp_path / "token")
    with WebServer(authority.host) as server:
        server.files["/a.root"] = source_cases.write_tree(tmp_path / "a.root").read_bytes()
        server.tokens = {token.read_text().strip()}
        code, _, err = show(server.url("/a.root"))
        assert (code, "wants a credential" in err) == (2, True), err
        monkeypatch.setenv("BEARER_TOKEN_FILE", str(token))
        code, out, err = show(server.url("/a.root"))
        assert code == 0
        assert "120 entries in 3 clusters" in out
