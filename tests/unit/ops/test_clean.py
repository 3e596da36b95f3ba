import math
import pickle

import awkward as ak
import numpy as np
import pytest

from fasthep_parsl.ops import clean as module
from fasthep_parsl.ops.clean import clean
from fasthep_parsl.ops.stream import Events

SCHEMA = {"MET_pt": (), "nJet": ()} | {
    f"{name}_{field}": (f"n{name}",) for name in ("Jet", "Muon", "Electron") for field in ("pt", "eta", "phi")
}


def call(events, **params):
    values = clean.op.params(**params)
    return clean(events, params=values)


def analyse(schema=SCHEMA, **params):
    return clean.op.analyse(clean.op.params(**params), schema)


def stream(**counts):
    rng = np.random.default_rng(7)
    columns, length = {}, 0
    for name, each in counts.items():
        number = np.array(each, dtype=np.int64)
        total, length = number.sum(), len(number)
        for field, values in (
            ("pt", rng.exponential(30, total)),
            ("eta", rng.uniform(-1, 1, total)),
            ("phi", rng.uniform(-np.pi, np.pi, total)),
        ):
            columns[f"{name}_{field}"] = ak.unflatten(values.astype(np.float32), number)
    return Events(columns, length)


def separated(events, event, row, target, limit):
    for k in range(len(events[f"{target}_eta"][event])):
        delta_eta = float(events.Jet_eta[event, row]) - float(events[f"{target}_eta"][event, k])
        delta_phi = float(events.Jet_phi[event, row]) - float(events[f"{target}_phi"][event, k])
        delta_phi = math.atan2(math.sin(delta_phi), math.cos(delta_phi))
        if math.hypot(delta_eta, delta_phi) < limit:
            return False
    return True


@pytest.mark.parametrize("block", [4, 1 << 15])
def test_equals_brute_force(block, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", block)
    events = stream(Jet=[6, 0, 3, 5, 2] * 4, Muon=[2, 1, 0, 3, 1] * 4, Electron=[0, 2, 1, 1, 0] * 4)
    out = call(
        events,
        source="Jet",
        clean_against=["Muon", "Electron"],
        output="Clean",
        min_delta_r=0.8,
        diagnostics={"keep_removed": True},
    )
    removed = 0
    for event in range(len(events)):
        rows = range(len(events.Jet_pt[event]))
        kept = [all(separated(events, event, row, target, 0.8) for target in ("Muon", "Electron")) for row in rows]
        removed += kept.count(False)
        assert out["Clean_pt"][event].tolist() == [events.Jet_pt[event, row] for row in rows if kept[row]]
        assert out["Clean_removed_pt"][event].tolist() == [events.Jet_pt[event, row] for row in rows if not kept[row]]
        assert out["nClean"][event] == kept.count(True)
        assert out["nremoved_Clean"][event] == out["nClean_removed"][event] == kept.count(False)
    assert removed > 3


def test_delta_phi_wraps_around():
    columns = {"Jet_eta": [[0.0, 0.0]], "Jet_phi": [[3.1, 0.0]], "Muon_eta": [[0.0]], "Muon_phi": [[-3.1]]}
    events = Events({name: ak.Array(values) for name, values in columns.items()}, 1)
    out = call(events, source="Jet", clean_against=["Muon"])
    assert out["cleaned_Jet_phi"].tolist() == [[0.0]]
    assert out["nremoved_cleaned_Jet"].tolist() == [1]


def test_sorting_and_fields():
    events = stream(Jet=[4, 3], Muon=[0, 0])
    out = call(events, source="Jet", clean_against=["Muon"], output="C", fields=["phi"], sort_by="pt")
    assert out["C_pt"].tolist() == [sorted(each, reverse=True) for each in events.Jet_pt.tolist()]
    assert set(out) == {"nC", "C_phi", "C_eta", "C_pt", "nremoved_C"}


@pytest.mark.parametrize("counts", [[], [0, 0]])
def test_no_objects(counts):
    out = call(stream(Jet=counts, Muon=counts), source="Jet", clean_against=["Muon"], output="C")
    assert out["C_eta"].tolist() == [[]] * len(counts)
    assert out["nC"].tolist() == counts


def test_fields_of_another_collection_with_a_longer_name_are_left_alone():
    events = stream(Jet=[2], Jet_good=[1], Muon=[0]).with_columns({"nJet_good": np.array([1])})
    assert set(call(events, source="Jet", clean_against=["Muon"], output="C", diagnostics=False)) == {
        "nC", "C_pt", "C_eta", "C_phi", "nremoved_C",
    }  # fmt: skip


@pytest.mark.parametrize(("count", "expected"), [("lost", {"lost"}), (False, set()), (None, set())])
def test_removed_count_can_be_named_or_left_out(count, expected):
    params = {"source": "Jet", "clean_against": ["Muon"], "output": "C", "diagnostics": {"removed_count": count}}
    out = call(stream(Jet=[1], Muon=[1]), **params)
    assert set(out) - {"nC", "C_pt", "C_eta", "C_phi"} == expected
    assert set(analyse(**params).writes) == set(out)


def test_effects():
    effects = analyse(source="Jet", clean_against=["Muon"], fields=["pt"], diagnostics={"keep_removed": True})
    assert effects.problems == ()
    assert effects.reads == {
        "Jet_pt": ("fields", 0),
        "Jet_eta": ("source",),
        "Jet_phi": ("source",),
        "Muon_eta": ("clean_against", 0),
        "Muon_phi": ("clean_against", 0),
    }
    events = stream(Jet=[2], Muon=[1])
    out = call(events, source="Jet", clean_against=["Muon"], fields=["pt"], diagnostics={"keep_removed": True})
    assert set(out) == set(effects.writes)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"source": "Jets"}, ("source",)),
        ({"clean_against": ["Muon", "Tau"]}, ("clean_against", 1)),
        ({"clean_against": ["Jet"]}, ("clean_against", 0)),
        ({"output": "Electron"}, ("output",)),
    ],
)
def test_problems(change, path):
    problems = analyse(**({"source": "Jet", "clean_against": ["Muon"]} | change)).problems
    assert [problem.path for problem in problems] == [path]


@pytest.mark.parametrize(
    "change",
    [{"metric": "delta_phi"}, {"min_delta_r": -1}, {"mode": "both"}, {"sort_order": "up"}, {"clean_against": []}],
)
def test_refused_values(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        clean.op.params(**({"source": "Jet", "clean_against": ["Muon"]} | change))


def test_op_pickles():
    assert pickle.loads(pickle.dumps(clean)) is clean
