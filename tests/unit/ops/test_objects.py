import pickle
from itertools import chain

import awkward as ak
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fasthep_parsl.errors import OpError
from fasthep_parsl.ops.objects import merge_collections, select_objects
from fasthep_parsl.ops.stream import Events

SCHEMA = {
    "nMuon": (),
    "Muon_pt": ("nMuon",),
    "Muon_eta": ("nMuon",),
    "Muon_charge": ("nMuon",),
    "Muon_veto_pt": ("nMuon_veto",),
    "nElectron": (),
    "Electron_pt": ("nElectron",),
    "Electron_charge": ("nElectron",),
    "Electron_mvaId": ("nElectron",),
    "MET_pt": (),
    "Muon_flag": (),
}
PT = st.lists(st.lists(st.integers(0, 100), max_size=4), min_size=1, max_size=6)


def call(op, events, **params):
    values = op.op.params(**params)
    return op(events, params=values)


def analyse(op, schema=SCHEMA, **params):
    return op.op.analyse(op.op.params(**params), schema)


def jagged(lists, dtype=np.float32):
    counts = np.array([len(each) for each in lists], dtype=np.int64)
    return ak.unflatten(np.array(list(chain.from_iterable(lists)), dtype=dtype), counts)


def muons(pt, eta=None):
    eta = [[0.1 * i for i in range(len(each))] for each in pt] if eta is None else eta
    columns = {"nMuon": np.array([len(each) for each in pt]), "Muon_pt": jagged(pt), "Muon_eta": jagged(eta)}
    return Events(columns | {"MET_pt": np.arange(len(pt), dtype=np.float32)}, len(pt))


@settings(max_examples=30, deadline=None)
@given(PT, st.sampled_from(["ascending", "descending"]))
def test_selection_and_stable_sort_equal_python(pt, order):
    out = call(
        select_objects,
        muons(pt),
        collection="Muon",
        output="Good",
        selection=["pt > 20", "eta < 0.25"],
        keep=["eta", "pt"],
        sort={"by": "pt", "order": order},
    )
    for event, pts in enumerate(pt):
        eta = np.float32([0.1 * i for i in range(len(pts))])
        rows = [(p, e) for p, e in zip(pts, eta, strict=True) if p > 20 and e < 0.25]
        rows = sorted(rows, key=lambda row: row[0] if order == "ascending" else -row[0])
        assert out["Good_pt"][event].tolist() == [p for p, _ in rows]
        assert out["Good_eta"][event].tolist() == [e for _, e in rows]
        assert out["nGood"][event] == len(rows)
    assert out["Good_pt"].layout.content.dtype == np.float32


def test_default_sort_is_pt_descending_and_false_keeps_order():
    events = muons([[1, 3, 2], [5]])
    assert call(select_objects, events, collection="Muon", output="G", keep=["pt"])["G_pt"].tolist() == [[3, 2, 1], [5]]
    unsorted = call(select_objects, events, collection="Muon", output="G", keep=["pt"], sort=False)
    assert unsorted["G_pt"].tolist() == [[1, 3, 2], [5]]


def test_default_sort_without_pt_keeps_order():
    events = muons([[1, 3, 2]]).select(["Muon_eta"])
    out = call(select_objects, events, collection="Muon", output="G", keep=["eta"])
    assert out["G_eta"].tolist() == events.Muon_eta.tolist()


def test_nan_sorts_last():
    events = Events({"Muon_pt": jagged([[np.nan, 1, 3], [2, np.nan, 4]])}, 2)
    for order, first in (("ascending", [1, 2]), ("descending", [3, 4])):
        out = call(
            select_objects, events, collection="Muon", output="G", keep=["pt"], sort={"by": "pt", "order": order}
        )["G_pt"]
        assert out[:, 0].tolist() == first
        assert np.isnan(out[:, 2].to_numpy()).all()


def test_derived_event_level_names_and_reductions():
    events = muons([[10, 30], [], [20, 40, 50]])
    out = call(
        select_objects,
        events,
        collection="Muon",
        output="G",
        selection=["pt > MET_pt + 15", "pt == max(pt)"],
        derived={"twice": "2 * pt", "negative": "-pt"},
        keep=["twice", "pt"],
        sort={"by": "negative"},
    )
    assert out["G_twice"].tolist() == [[60], [], [100]]


def test_filtered_events_give_the_same_as_filtering_later():
    events = muons([[10, 30], [], [20, 40, 50], [7]])
    mask = np.array([False, True, True, True])
    params = {"collection": "Muon", "output": "G", "selection": ["pt > 8"], "keep": ["pt"]}
    late = events.with_columns(call(select_objects, events, **params)).filter(mask)
    early = call(select_objects, events.filter(mask), **params)
    assert early["G_pt"].tolist() == late["G_pt"].tolist()


@pytest.mark.parametrize("events", [muons([]), muons([[], []])])
def test_no_objects(events):
    out = call(select_objects, events, collection="Muon", output="G", selection=["pt > 1"], keep=["pt", "eta"])
    assert out["G_pt"].tolist() == events.Muon_pt.tolist()
    assert len(out["nGood" if "nGood" in out else "nG"]) == len(events)


def test_missing_values_fail_the_selection():
    events = Events({"Muon_pt": ak.Array([[1.0, None, 3.0], [None]])}, 2)
    out = call(select_objects, events, collection="Muon", output="G", selection=["pt > 0"], keep=["pt"])
    assert out["G_pt"].tolist() == [[3, 1], []]


def test_columns_of_different_structure_are_refused():
    events = Events({"Muon_pt": jagged([[1, 2]]), "Muon_eta": jagged([[1]])}, 1)
    with pytest.raises(OpError, match="Muon_eta"):
        call(select_objects, events, collection="Muon", output="G", keep=["pt", "eta"])


def test_missing_fields_can_be_ignored():
    events = muons([[1, 2]])
    out = call(
        select_objects, events, collection="Muon", output="G", keep=["pt", "iso"], missing_fields="ignore", sort=False
    )
    assert set(out) == {"nG", "G_pt"}
    with pytest.raises(OpError, match="Muon_iso"):
        call(select_objects, events, collection="Muon", output="G", keep=["pt", "iso"])


def test_select_effects():
    effects = analyse(
        select_objects,
        collection="Muon",
        output="G",
        selection=["pt > 20", "abs(eta) < 2.4"],
        derived={"x": "2*charge"},
        keep=["eta", "x"],
    )
    assert effects.problems == ()
    assert effects.reads == {
        "Muon_pt": ("selection", 0),
        "Muon_eta": ("selection", 1),
        "Muon_charge": ("derived", "x"),
    }
    assert effects.writes == {"nG": (), "G_eta": ("nG",), "G_x": ("nG",)}


@pytest.mark.parametrize(
    ("change", "path", "text"),
    [
        ({"collection": "Moun"}, ("collection",), "Muon"),
        ({"selection": ["ptt > 1"]}, ("selection", 0), "pt"),
        ({"selection": ["Electron_pt > 1"]}, ("selection", 0), "nMuon"),
        ({"keep": ["flag"]}, ("keep", 0), "one value per event"),
        ({"keep": ["veto_pt"]}, ("keep", 0), "nMuon_veto"),
        ({"output": "Electron"}, ("output",), "already exists"),
        ({"sort": {"by": "ptt"}}, ("sort", "by"), "pt"),
        ({"keep": ["nothing"], "missing_fields": "ignore"}, ("keep",), "does not have any field"),
    ],
)
def test_select_problems(change, path, text):
    params = {"collection": "Muon", "output": "G", "keep": ["pt"]} | change
    problems = analyse(select_objects, **params).problems
    assert [problem.path for problem in problems] == [path]
    assert text in f"{problems[0].message} {problems[0].hint}"


def test_unknown_kept_field_is_read_with_its_place():
    effects = analyse(select_objects, collection="Muon", output="G", keep=["pt", "ptt"])
    assert effects.reads["Muon_ptt"] == ("keep", 1)


def test_branches_with_counters_of_their_own_make_a_collection():
    schema = dict.fromkeys(("nMuon", "nMuon_pt", "nMuon_eta", "nMuon_pt_raw"), ())
    schema |= {name: (f"n{name}",) for name in ("Muon_pt", "Muon_eta", "Muon_pt_raw")}
    params = {"collection": "Muon", "output": "G", "selection": ["pt > 20", "abs(eta) < 2.4"], "keep": ["pt_raw"]}
    effects = analyse(select_objects, schema, **params)
    assert effects.problems == ()
    assert set(effects.reads) == {"Muon_pt", "Muon_eta", "Muon_pt_raw"}


def test_wrong_order_is_refused():
    with pytest.raises(ValueError, match="order"):
        select_objects.op.params(collection="Muon", output="G", keep=["pt"], sort={"by": "pt", "order": "down"})


# --- merge ------------------------------------------------------------------------------------------------


def leptons(muon, electron):
    columns = {
        "Muon_pt": jagged(muon),
        "Muon_charge": jagged([[1] * len(each) for each in muon], np.int32),
        "Electron_pt": jagged(electron, np.float64),
        "Electron_charge": jagged([[-1] * len(each) for each in electron], np.int8),
        "Electron_mvaId": jagged(electron),
    }
    return Events(columns, len(muon))


@settings(max_examples=20, deadline=None)
@given(PT, st.data())
def test_merge_equals_python(muon, data):
    electron = data.draw(st.lists(st.lists(st.integers(0, 100), max_size=3), min_size=len(muon), max_size=len(muon)))
    out = call(
        merge_collections, leptons(muon, electron), inputs={"Muon": 13, "Electron": 11}, output="Lep", tag="pdgId"
    )
    assert set(out) == {"nLep", "Lep_pt", "Lep_charge", "Lep_pdgId", "Lep_index"}
    assert out["Lep_pt"].tolist() == [m + e for m, e in zip(muon, electron, strict=True)]
    assert out["Lep_charge"].tolist() == [[1] * len(m) + [-1] * len(e) for m, e in zip(muon, electron, strict=True)]
    assert out["Lep_pdgId"].tolist() == [[13] * len(m) + [11] * len(e) for m, e in zip(muon, electron, strict=True)]
    assert out["Lep_index"].tolist() == [[*range(len(m)), *range(len(e))] for m, e in zip(muon, electron, strict=True)]
    assert out["nLep"].tolist() == [len(m) + len(e) for m, e in zip(muon, electron, strict=True)]


def test_merge_list_sort_and_keep():
    out = call(
        merge_collections,
        leptons([[1, 5]], [[3]]),
        inputs=["Muon", "Electron"],
        output="Lep",
        keep=["pt"],
        sort={"by": "pt"},
    )
    assert out["Lep_pt"].tolist() == [[5, 3, 1]]
    assert out["Lep_flavour"].tolist() == [[0, 1, 0]]
    assert out["Lep_index"].tolist() == [[1, 0, 0]]
    assert set(out) == {"nLep", "Lep_pt", "Lep_flavour", "Lep_index"}


LARGE = 2**62 + 1


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (np.array([1, -1]), np.array([LARGE], np.uint64), [1, -1, LARGE]),
        (np.array([200, 255], np.uint8), np.array([-5], np.int8), [200, 255, -5]),
        (np.array([True, False]), np.array([7], np.uint8), [1, 0, 7]),
        (np.array([LARGE, 0]), ak.Array([None, 1])[:1], [LARGE, 0, None]),
        (ak.Array([None, LARGE]), np.array([3], np.uint8), [None, LARGE, 3]),
        (ak.Array(["a", "bc"]), ak.Array(["d"]), ["a", "bc", "d"]),
    ],
)
def test_merge_keeps_values_of_all_types(first, second, expected):
    def events(a, b):
        columns = {"A_pt": ak.unflatten(ak.Array(a), [2]), "B_pt": ak.unflatten(ak.Array(b), [1])}
        return Events({"nA": np.array([2]), "nB": np.array([1]), **columns}, 1)

    out = call(merge_collections, events(first, second), inputs=["A", "B"], output="C", keep=["pt"])
    assert ak.to_list(out["C_pt"]) == [expected]
    turned = call(merge_collections, events(first, second), inputs=["B", "A"], output="C", keep=["pt"])
    assert ak.to_list(turned["C_pt"]) == [[*expected[2:], *expected[:2]]]


def test_merge_refuses_text_and_numbers():
    columns = {"nA": np.array([1]), "nB": np.array([1]), "A_pt": ak.Array([["a"]]), "B_pt": ak.Array([[1]])}
    with pytest.raises(OpError, match="different types"):
        call(merge_collections, Events(columns, 1), inputs=["A", "B"], output="C", keep=["pt"])


@pytest.mark.parametrize("order", ["ascending", "descending"])
def test_objects_are_sorted_by_exact_numbers_missing_ones_last(order):
    pt = ak.Array([[2**62, None, 2**62 + 1, -(2**63)]])
    out = call(
        select_objects,
        Events({"nA": np.array([4]), "A_pt": pt}, 1),
        collection="A",
        output="B",
        keep=["pt"],
        sort={"by": "pt", "order": order},
    )
    rising = [-(2**63), 2**62, 2**62 + 1]
    assert out["B_pt"].tolist() == [[*(rising if order == "ascending" else rising[::-1]), None]]


def test_merge_effects_and_problems():
    effects = analyse(merge_collections, inputs={"Muon": 13, "Electron": 11}, output="Lep")
    assert effects.problems == ()
    assert set(effects.reads) == {"Muon_pt", "Muon_charge", "Electron_pt", "Electron_charge"}
    assert effects.writes["Lep_flavour"] == effects.writes["Lep_pt"] == ("nLep",)
    wrong = analyse(merge_collections, inputs={"Muon": 13, "Electrons": 11}, output="Lep")
    assert wrong.problems[0].path == ("inputs", "Electrons")
    assert "Electron" in str(wrong.problems[0].hint)
    clash = analyse(merge_collections, inputs=["Muon", "Electron"], output="Lep", tag="charge")
    assert "charge" in clash.problems[0].message
    assert analyse(merge_collections, inputs=["Muon", "Muon"], output="Lep").problems


def test_ops_pickle():
    for function in (select_objects, merge_collections):
        assert pickle.loads(pickle.dumps(function)) is function
        assert pickle.loads(pickle.dumps(function.op)).name == function.op.name


def test_order_of_large_whole_numbers_does_not_depend_on_a_missing_one():
    from fasthep_parsl.ops.collections.sorting import argsort_objects

    keys = [2**53 + 1, 2**53, 2**53 + 2]
    offsets = np.array([0, 3, 4])
    assert argsort_objects(offsets, ak.Array([*keys, 1]), descending=False).tolist() == [1, 0, 2, 3]
    assert argsort_objects(offsets, ak.Array([*keys, None]), descending=False).tolist() == [1, 0, 2, 3]
    assert argsort_objects(offsets, ak.Array([*keys, None]), descending=True).tolist() == [2, 0, 1, 3]
    assert argsort_objects(np.array([0, 4]), ak.Array([*keys, None]), descending=True).tolist() == [2, 0, 1, 3]
