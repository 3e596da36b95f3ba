"""RNTuples: values of all fields in any range equal uproot's, names of lists are correct, datasets may mix formats."""

from __future__ import annotations

import random

import awkward as ak
import numpy as np
import pytest
import uproot

from fasthep_parsl.errors import ConfigError
from fasthep_parsl.interfaces import InputFileError
from fasthep_parsl.sources.forms import take
from fasthep_parsl.sources.root import Root
from source_cases import CLUSTER, events, write_ntuple, write_tree

WRITTEN_BY_ROOT = {
    "bitset": 2,
    "classes": 31,
    "clusters": 1,
    "containers": 20,
    "extension": 3,
    "floats": 11,
    "muons": 11,
    "records": 10,
    "representations": 1,
}
"""File → number of fields and members that can be read."""


def open_ntuple(path, tree="ntuple"):
    return Root(tree=tree).open(str(path))


def readable(file):
    return {name: branch for name, branch in file.branches().found.items() if not branch.problem}


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITTEN_BY_ROOT)
def test_every_range_of_every_field_is_as_uproot_reads_it(data_files, name):
    path = data_files / f"ntuple-{name}.root"
    with uproot.open(path) as root:
        ((key, kind),) = root.classnames().items()
        assert kind == "ROOT::RNTuple"
        whole = {field: root[key][field].array() for field in root[key].keys(recursive=False)}
    file = open_ntuple(path, key)
    fields = readable(file)
    assert len(fields) == WRITTEN_BY_ROOT[name]
    edges = sorted({edge + step for edge in file.clusters() for step in (-1, 0, 1)} & set(range(file.entries + 1)))
    some = random.Random(name)
    ranges = [(0, file.entries), *((a, b) for a in edges for b in edges if a <= b)]
    ranges += [sorted(some.choices(range(file.entries + 1), k=2)) for _ in range(20)]
    for start, stop in ranges:
        found = file.read(fields, start, stop)
        for field, column in found.items():
            expected = take(whole[field.partition(".")[0]], file._form(field)[1])[start:stop]
            assert ak.array_equal(column, expected, equal_nan=True, check_parameters=False), (field, start, stop)
    file.close()


def test_only_pages_of_the_range_are_read(data_files):
    file = open_ntuple(data_files / "ntuple-pages.root")
    assert (file.entries, file.clusters()) == (100_000_000, [0, 100_000_000])
    with uproot.open(data_files / "ntuple-pages.root") as root:
        pages = root["ntuple"].page_link_list[0][0].pages
    assert len(pages) > 100
    middle = 50_000_000
    column = file.read(["one_integers"], middle - 10, middle + 10)["one_integers"]
    assert column.tolist() == [2] * 10 + [1] * 10
    assert file.bytes_read <= 2 * max(page.locator.num_bytes for page in pages)
    file.close()


def test_a_server_is_asked_once_for_all_columns_of_a_range(data_files, monkeypatch):
    path = data_files / "ntuple-muons.root"
    local, remote = open_ntuple(path, "Events"), open_ntuple(f"file://{path}", "Events")
    fields = readable(local)
    expected = local.read(fields, 100, 700)
    source = remote._file.file.source
    requests = []
    ask = source.chunks
    monkeypatch.setattr(source, "chunks", lambda ranges, **more: requests.append(len(ranges)) or ask(ranges, **more))
    monkeypatch.setattr(source, "chunk", lambda *_: pytest.fail("a page was requested alone"))
    found = remote.read(fields, 100, 700)
    assert len(requests) == 1
    assert all(ak.array_equal(found[name], expected[name]) for name in fields)
    assert remote.bytes_read == local.bytes_read


def test_what_uproot_cannot_read_or_no_op_knows_is_a_problem(data_files):
    file = open_ntuple(data_files / "ntuple-containers.root")
    found = file.branches().found
    assert found["variant_int32_string"].problem == "has values of several types"
    assert found["lorentz_vector"].problem == "is a record"
    assert "`lorentz_vector.pt`" in found["lorentz_vector"].hint
    with pytest.raises(InputFileError, match="branch `variant_int32_string` has values of several types"):
        file.read(["variant_int32_string"], 0, 1)
    file.close()


def test_lists_have_the_name_of_their_lengths(data_files):
    file = open_ntuple(data_files / "ntuple-muons.root", "Events")
    shapes = {name: branch.shape for name, branch in readable(file).items()}
    assert shapes["nMuon"] == ()
    assert {shape for name, shape in shapes.items() if name != "nMuon"} == {("nMuon",)}
    columns = file.read(["Muon_pt", "nMuon", "Muon_charge"], 10, 900)
    assert columns["Muon_pt"].layout.offsets is columns["Muon_charge"].layout.offsets
    assert ak.num(columns["Muon_pt"]).tolist() == columns["nMuon"].tolist()
    file.close()


def test_lists_of_records_have_their_own_name_and_others_have_none(data_files):
    file = open_ntuple(data_files / "ntuple-records.root")
    shapes = {name: branch.shape for name, branch in readable(file).items()}
    assert shapes["four_v_LVs.pt"] == shapes["four_v_LVs.mass"] == ("four_v_LVs",)
    assert shapes["two_v_floats"] == ("*",)
    assert shapes["three_LV.pt"] == ()
    file.close()


def test_a_number_called_like_the_lengths_names_lists(tmp_path):
    file = open_ntuple(write_ntuple(tmp_path / "a.root"), "Events")
    shapes = {name: branch.shape for name, branch in readable(file).items()}
    assert shapes["Muon_pt"] == shapes["Muon_charge"] == ("nMuon",)
    assert shapes["Jet_mass"] == ("*",)  # there is no `nJet`
    file.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("op", "params"),
    [
        ("hep.define", {"variables": [{"name": "s", "expr": "Muon_pt + Muon_charge"}]}),
        ("hep.select", {"selection": ["any((Muon_pt > 1) & (Muon_charge > 0))"]}),
        ("hep.select_objects", {"collection": "Muon", "output": "Good", "selection": ["pt > 1"], "keep": ["pt", "charge"]}),
        ("hep.clean", {"source": "Muon", "clean_against": ["Jet"], "output": "CleanMuon"}),
        ("hep.build_combinations", {"collection": "Muon", "n": 2, "output": "pair", "keep": {"candidate": ["charge"]}}),
        (
            "hep.hist",
            {"axes": [{"name": x, "source": f"Muon_{x}", "bins": {"nbins": 2, "low": 0, "high": 9}} for x in ("pt", "charge")]},
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_lists_that_break_the_convention_never_match_silently(flow, op, params):
    """`nMuon` promises one length, but the file has independent lists: every op that combines them must notice."""
    found = events()
    fields = {"pt": found["Muon_pt"], "eta": found["Muon_pt"], "phi": found["Muon_pt"], "mass": found["Muon_pt"]}
    wrong = ak.concatenate([found["Muon_charge"][1:], found["Muon_charge"][:1]])
    jets = {f"Jet_{name}": found["Muon_pt"] for name in ("eta", "phi")}
    columns = {**{f"Muon_{name}": column for name, column in fields.items()}, **jets, "Muon_charge": wrong}
    columns |= dict.fromkeys(("nMuon", "nJet"), found["nMuon"])
    if op == "hep.clean":
        columns["Muon_phi"] = wrong
    path = write_ntuple(flow.folder / "a.root", found=ak.zip(columns, depth_limit=1))
    flow.write([flow.stage("Combined", op, **params)], [path])
    outcome = flow.run()
    assert outcome.exit_code == 1
    reasons = (flow.folder / "run" / "events.jsonl").read_text()
    assert "OpError: " in reasons or "ExpressionError: " in reasons  # the op has noticed; nothing has crashed


def histograms(flow, files):
    """Return the results of all fields as JSON text, each the sum over the events of `files`."""
    sources = [
        "weight",
        "good",
        "event",
        "sum(Muon_pt)",
        "sum(Muon_pt * Muon_charge)",
        "sum(Jet_mass)",
        "count(Jet_mass)",
    ]
    stages = [
        flow.stage(f"H{n}", "hep.hist", axes=[{"name": "v", "source": s, "bins": {"nbins": 30, "low": 0, "high": 90}}])
        for n, s in enumerate(sources)
    ]
    stages.append(flow.stage("T", "hep.hist", axes=[{"name": "t", "source": "word", "type": "category"}]))
    flow.write(stages, files)
    outcome = flow.run(flow.compile(chunk_size=CLUSTER - 7), mode="force")
    assert outcome.exit_code == 0
    results = flow.folder / "run" / "results"
    found = {path.parent.name: path.read_text() for path in results.glob("*/hist.json")}
    assert len(found) == len(stages)
    return found


@pytest.mark.slow
def test_an_analysis_reads_trees_rntuples_and_both_in_one_dataset(flow):
    """The workflow is the same: the file decides what it is."""
    trees = [write_tree(flow.folder / f"t{n}.root") for n in range(2)]
    ntuples = [write_ntuple(flow.folder / f"n{n}.root") for n in range(2)]
    expected = histograms(flow, trees)
    assert histograms(flow, ntuples) == expected
    assert histograms(flow, [trees[0], ntuples[1]]) == expected
    assert histograms(flow, [ntuples[0], trees[1]]) == expected


def refused(flow, files, source, **sections):
    axis = {"name": "v", "source": source, "bins": {"nbins": 3, "low": 0, "high": 9}}
    flow.write([flow.stage("H", "hep.hist", axes=[axis])], files, **sections)
    with pytest.raises(ConfigError) as caught:
        flow.compile()
    (problem,) = caught.value.problems
    return problem


def test_fields_that_disagree_are_refused_before_the_run(flow):
    found = events()
    tree = write_tree(flow.folder / "t.root")
    ntuple = write_ntuple(flow.folder / "n.root", found=ak.with_field(found, found["Muon_pt"], "weight"))
    problem = refused(flow, [tree, ntuple], "weight")
    assert problem.code in ("E136", "E150")
    assert "is one number per event, but a list of numbers per event in n.root" in str(problem)


def test_a_field_that_cannot_be_read_is_refused_before_the_run(flow, data_files):
    path = data_files / "ntuple-containers.root"
    problem = refused(flow, [path], "variant_int32_string", sources={"events": {"kind": "root_tree", "tree": "ntuple"}})
    assert "has values of several types" in str(problem)


def test_a_wrong_name_lists_rntuples_as_trees(tmp_path):
    path = write_ntuple(tmp_path / "a.root")
    with pytest.raises(InputFileError, match="no tree `Event`") as caught:
        open_ntuple(path, "Event")
    assert str(caught.value.hint) == "did you mean `Events`?"
    assert caught.value.key == "tree"


def test_an_empty_rntuple_has_no_events(tmp_path):
    with uproot.recreate(tmp_path / "a.root") as root:
        root.mkrntuple("Events", {"x": np.dtype("float32"), "l": "var * int32"})
    file = open_ntuple(tmp_path / "a.root", "Events")
    assert (file.entries, file.clusters()) == (0, [])
    found = file.read(["x", "l"], 0, 0)
    assert (len(found["x"]), str(ak.type(found["l"]))) == (0, "0 * var * int32")
    file.close()
