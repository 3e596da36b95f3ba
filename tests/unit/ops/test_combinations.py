import math
import pickle
from itertools import combinations, product
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fasthep_parsl.ops import kinematics
from fasthep_parsl.ops.collections import candidates
from fasthep_parsl.ops.combinations import build_combinations, build_pairs
from fasthep_parsl.ops.stream import Events

FIELDS = ("pt", "eta", "phi", "mass", "charge")
SCHEMA = {"MET_pt": (), "Muon_flag": ()} | {
    f"{name}_{field}": (f"n{name}",) for name in ("Muon", "Electron") for field in FIELDS
}
COUNTS = st.lists(st.integers(0, 5), min_size=1, max_size=8)


def call(op, events, **params):
    values = op.op.params(**params)
    return op(events, params=values)


def analyse(op, schema=SCHEMA, **params):
    return op.op.analyse(op.op.params(**params), schema)


def collection(name, counts, seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    counts = np.array(counts, dtype=np.int64)
    total = int(counts.sum())
    flat = {
        "pt": rng.exponential(30, total).astype(dtype) + 3,
        "eta": rng.uniform(-2.5, 2.5, total).astype(dtype),
        "phi": rng.uniform(-np.pi, np.pi, total).astype(dtype),
        "mass": np.full(total, 0.10566, dtype),
        "charge": rng.choice(np.array([-1, 1], np.int32), total),
    }
    return {f"{name}_{field}": ak.unflatten(values, counts) for field, values in flat.items()}


def stream(**counts):
    columns = {}
    for seed, (name, each) in enumerate(counts.items()):
        columns |= collection(name, each, seed)
    length = len(next(iter(counts.values())))
    return Events(columns | {"MET_pt": np.arange(length)}, length)


def objects(events, name, event):
    rows = zip(*(events[f"{name}_{field}"][event].tolist() for field in FIELDS), strict=True)
    return [dict(zip(FIELDS, row, strict=True)) for row in rows]


def vector(members):
    """Return the four-vector sum, with exact summation."""
    px = math.fsum(m["pt"] * math.cos(m["phi"]) for m in members)
    py = math.fsum(m["pt"] * math.sin(m["phi"]) for m in members)
    pz = math.fsum(m["pt"] * math.sinh(m["eta"]) for m in members)
    energy = math.fsum(math.hypot(m["pt"] * math.cosh(m["eta"]), m["mass"]) for m in members)
    pt = math.hypot(px, py)
    return {
        "pt": pt,
        "eta": math.asinh(pz / pt),
        "phi": math.atan2(py, px),
        "mass": math.sqrt(max(0.0, energy**2 - px**2 - py**2 - pz**2)),
        "charge": sum(m["charge"] for m in members),
    }


def check(out, prefix, expected):
    """Compare with the rows of brute force, per event."""
    assert out[f"n{prefix}"].tolist() == [len(rows) for rows in expected]
    for field in FIELDS:
        found = out[f"{prefix}_{field}"]
        assert ak.num(found).tolist() == [len(rows) for rows in expected]
        np.testing.assert_allclose(
            ak.flatten(found).to_numpy(), [row[field] for rows in expected for row in rows], rtol=1e-9, atol=1e-9
        )


@pytest.fixture(params=[3, 1 << 15], ids=["small blocks", "one block"])
def block(request, monkeypatch):
    monkeypatch.setattr(candidates, "BLOCK", request.param)


@pytest.mark.parametrize("n", [2, 3, 4])
def test_distinct_objects_equal_brute_force(n, block):
    events = stream(Muon=[0, 1, 5, 2, 0, 3, 4, 4, 2])
    out = call(build_combinations, events, collection="Muon", n=n, output="X", keep={"constituents": ["pt"]})
    found = [list(combinations(enumerate(objects(events, "Muon", i)), n)) for i in range(len(events))]
    check(out, "X", [[vector([m for _, m in rows]) for rows in event] for event in found])
    for k in range(n):
        assert out[f"X_Muon_{k + 1}_index"].tolist() == [[rows[k][0] for rows in event] for event in found]
        assert out[f"X_Muon_{k + 1}_pt"].tolist() == [[rows[k][1]["pt"] for rows in event] for event in found]


def test_one_of_each_collection_equals_brute_force(block):
    events = stream(Muon=[0, 1, 5, 2, 3], Electron=[2, 3, 1, 0, 2])
    out = call(build_combinations, events, collections=["Muon", "Electron"], output="X")
    found = [
        list(product(enumerate(objects(events, "Muon", i)), enumerate(objects(events, "Electron", i))))
        for i in range(len(events))
    ]
    check(out, "X", [[vector([m for _, m in rows]) for rows in event] for event in found])
    for k, role in enumerate(("Muon", "Electron")):
        assert out[f"X_{role}_index"].tolist() == [[rows[k][0] for rows in event] for event in found]


@settings(max_examples=20, deadline=None)
@given(COUNTS, st.sampled_from([None, 1, 2]))
def test_selection_sort_take_equal_python(counts, take):
    events = stream(Muon=counts)
    out = call(
        build_combinations,
        events,
        collection="Muon",
        output="Z",
        roles=["a", "b"],
        selection={"combination": ["a_charge != b_charge", "max(pt) > MET_pt"], "candidate": ["mass > 10"]},
        sort={"by": "abs(mass - 91.2)"},
        take=take,
    )
    expected = []
    for i in range(len(events)):
        rows = [
            vector(pair) for pair in combinations(objects(events, "Muon", i), 2) if sum(m["charge"] for m in pair) == 0
        ]
        rows = [row for row in rows if row["mass"] > 10 and max(r["pt"] for r in rows) > i]
        expected.append(sorted(rows, key=lambda row: abs(row["mass"] - 91.2))[:take])
    check(out, "Z", expected)


def test_pairs_use_the_objects_of_all_collections_with_upstream_names(block):
    events = stream(Muon=[0, 1, 3, 2], Electron=[2, 1, 1, 0])
    out = call(
        build_pairs,
        events,
        collections=["Muon", "Electron"],
        output="Dilep",
        pair={"unordered": True, "distinct_objects": True},
        selection={"pair": ["lepton_1_charge != lepton_2_charge && lepton_1_pt > 0"], "candidate": ["mass > 5"]},
        sort={"by": "abs(mass - 91.1876)", "order": "ascending"},
        keep={"candidate": ["mass", "pt", "eta", "phi", "charge"], "constituents": ["pt", "charge"]},
    )
    expected = []
    for i in range(len(events)):
        merged = objects(events, "Muon", i) + objects(events, "Electron", i)
        rows = [(vector(p), p) for p in combinations(merged, 2) if sum(m["charge"] for m in p) == 0]
        expected.append(sorted((r for r in rows if r[0]["mass"] > 5), key=lambda r: abs(r[0]["mass"] - 91.1876)))
    check(out, "Dilep_Z", [[row for row, _ in rows] for rows in expected])
    for k in (1, 2):
        assert out[f"Dilep_lepton_{k}_pt"].tolist() == [[p[k - 1]["pt"] for _, p in rows] for rows in expected]
    assert set(out) == {"nDilep_Z"} | {f"Dilep_Z_{f}" for f in FIELDS} | {
        f"Dilep_lepton_{k}_{f}" for k in (1, 2) for f in ("pt", "charge")
    }


@pytest.mark.parametrize("counts", [[], [0, 0], [1, 0, 1]])
def test_no_candidates(counts):
    out = call(build_combinations, stream(Muon=counts), collection="Muon", output="Z", sort={"by": "mass"}, take=1)
    assert out["nZ"].tolist() == [0] * len(counts)
    assert out["Z_mass"].tolist() == [[]] * len(counts)
    assert str(out["Z_mass"].type) == f"{len(counts)} * var * float64"


def test_given_mass_replaces_the_field():
    events = stream(Muon=[2]).select(["Muon_pt", "Muon_eta", "Muon_phi"])
    out = call(build_combinations, events, collection="Muon", output="Z", mass=0.5)
    pair = [
        {**dict(zip(("pt", "eta", "phi"), row, strict=True)), "mass": 0.5, "charge": 0}
        for row in zip(*(events[f"Muon_{f}"][0].tolist() for f in ("pt", "eta", "phi")), strict=True)
    ]
    assert out["Z_mass"][0, 0] == pytest.approx(vector(pair)["mass"], rel=1e-12)
    assert "Z_charge" not in out


def test_candidates_of_candidates():
    events = stream(Muon=[2, 2, 3], Electron=[2, 0, 2])
    for name, output in (("Muon", "Zmm"), ("Electron", "Zee")):
        events = events.with_columns(call(build_combinations, events, collection=name, output=output, take=1))
    out = call(build_combinations, events, collections=["Zmm", "Zee"], output="H")
    four = objects(events, "Muon", 0)[:2] + objects(events, "Electron", 0)[:2]
    assert out["nH"].tolist() == [1, 0, 1]
    assert out["H_mass"][0, 0] == pytest.approx(vector(four)["mass"], rel=1e-9)


def test_splitting_events_changes_nothing():
    events = stream(Muon=[3, 0, 2, 4])
    params = {"collection": "Muon", "output": "Z", "sort": {"by": "mass"}, "take": 2}
    whole = call(build_combinations, events, **params)
    parts = [call(build_combinations, events[slice(a, b)], **params) for a, b in ((0, 1), (1, 3), (3, 4))]
    for name, column in whole.items():
        assert ak.concatenate([part[name] for part in parts]).tolist() == column.tolist()


# --- formulas ---------------------------------------------------------------------------------------------


def test_mass_is_stable_where_energies_cancel():
    # Two collinear muons of 1 TeV at η = 4: M = 2 m, while E² - p² loses all digits.
    m = 0.10566
    found = kinematics.invariant_mass([[1000.0]] * 2, [[4.0]] * 2, [[1.0]] * 2, [[m]] * 2)
    assert found[0] == pytest.approx(2 * m, rel=1e-14)


def test_float32_inputs_are_summed_in_float64():
    single = [np.float32([value]) for value in (45.1, 43.7)]
    eta, phi = [np.float32([0.3]), np.float32([-1.2])], [np.float32([3.1]), np.float32([-3.0])]
    exact = kinematics.invariant_mass(
        *([x.astype(np.float64) for x in xs] for xs in (single, eta, phi, [np.float32([0.1])] * 2))
    )
    assert kinematics.invariant_mass(single, eta, phi, [np.float32([0.1])] * 2)[0] == exact[0]


def test_massless_and_resting_objects():
    assert kinematics.invariant_mass([[0.0]] * 2, [[0.0]] * 2, [[0.0]] * 2, [[0.0]] * 2)[0] == 0
    assert kinematics.invariant_mass([[0.0]] * 2, [[0.0]] * 2, [[0.0]] * 2, [[1.0], [0.0]])[0] == 1
    assert kinematics.pseudorapidity(np.array([0.0, 0.0]), np.array([0.0, 2.0])).tolist() == [0, np.inf]


@settings(deadline=None)
@given(st.floats(-7, 7), st.floats(-7, 7))
def test_delta_phi_is_wrapped(a, b):
    found = float(kinematics.delta_phi(a, b))
    assert -math.pi <= found < math.pi
    assert math.cos(found) == pytest.approx(math.cos(a - b), abs=1e-12)
    assert math.sin(found) == pytest.approx(math.sin(a - b), abs=1e-12)


def test_delta_phi_at_the_border():
    assert float(kinematics.delta_phi(math.pi, 0.0)) == -math.pi
    assert float(kinematics.delta_phi(-math.pi, 0.0)) == -math.pi


@settings(deadline=None)
@given(st.floats(-4, 4))
def test_cos_sin(angle):
    cos, sin = kinematics.cos_sin(np.array([angle]))
    assert cos[0] == pytest.approx(math.cos(angle), abs=4e-16)
    assert sin[0] == pytest.approx(math.sin(angle), abs=4e-16)


# --- before the run ---------------------------------------------------------------------------------------


def test_effects_read_only_what_is_used():
    effects = analyse(
        build_pairs,
        collections=["Muon"],
        output="D",
        selection={"pair": ["lepton_1_charge != lepton_2_charge"]},
        keep={"candidate": ["pt"], "constituents": ["eta"]},
    )
    assert effects.problems == ()
    assert effects.reads == {
        "Muon_charge": ("selection", "pair", 0),
        "Muon_pt": ("keep", "candidate", 0),
        "Muon_phi": ("keep", "candidate", 0),
        "Muon_eta": ("keep", "constituents", 0),
    }
    new = ("nD_Z",)
    assert effects.writes == {"nD_Z": (), "D_Z_pt": new, "D_lepton_1_eta": new, "D_lepton_2_eta": new}


def test_what_is_written_is_what_was_promised():
    for op, params in (
        (build_combinations, {"collection": "Muon", "n": 3, "keep": {"constituents": ["pt", "index"]}}),
        (build_combinations, {"collections": ["Muon", "Electron"], "roles": ["m", "e"]}),
        (build_pairs, {"collections": ["Muon", "Electron"], "keep": {"constituents": ["index"]}}),
    ):
        effects = analyse(op, output="X", **params)
        assert effects.problems == ()
        events = stream(Muon=[3, 1], Electron=[1, 1]).select(effects.reads)
        assert set(call(op, events, output="X", **params)) == set(effects.writes)


@pytest.mark.parametrize(
    ("change", "path", "text"),
    [
        ({"collection": "Muons"}, ("collection",), "Muon"),
        ({"collection": None}, (), "exactly one of"),
        ({"collection": None, "collections": ["Muon", "Muon"]}, ("collections",), "n: 2"),
        ({"collection": None, "collections": ["Muon", "Electron"], "n": 3}, ("n",), "leave"),
        ({"roles": ["a"]}, ("roles",), "2 different"),
        ({"roles": ["a", "a"]}, ("roles",), "2 different"),
        ({"keep": {"candidate": ["mas"]}}, ("keep", "candidate", 0), "mass"),
        ({"keep": {"constituents": ["flag"]}}, ("keep", "constituents", 0), "one value per event"),
        ({"selection": ["Muon_1_chrge == 1"]}, ("selection", 0), "Muon_1_charge"),
        ({"selection": ["Electron_pt > 1"]}, ("selection", 0), "nZ"),
        ({"sort": {"by": "abs(masss)"}}, ("sort", "by"), "mass"),
        ({"mass": {"Tau": 1.777}}, ("mass", "Tau"), "Tau"),
        ({"output": "Muon"}, ("output",), "already exists"),
    ],
)
def test_problems(change, path, text):
    problems = analyse(build_combinations, **({"collection": "Muon", "output": "Z"} | change)).problems
    assert [problem.path for problem in problems] == [path]
    assert text in f"{problems[0].message} {problems[0].hint}"


def test_a_missing_mass_names_the_remedy():
    schema = {name: shape for name, shape in SCHEMA.items() if not name.endswith("_mass")}
    problems = analyse(build_combinations, schema, collection="Muon", output="Z").problems
    assert "mass: 0.10566" in str(problems[0].hint)
    assert analyse(build_combinations, schema, collection="Muon", output="Z", mass=0.10566).problems == ()
    pt_only = {"candidate": ["pt"]}
    assert analyse(build_combinations, schema, collection="Muon", output="Z", keep=pt_only).problems == ()


@pytest.mark.parametrize("params", [{"n": 1}, {"take": 0}, {"sort": {"by": "mass", "order": "up"}}, {"kep": {}}])
def test_refused_values(params):
    with pytest.raises(ValueError, match=next(iter(params))):
        build_combinations.op.params(collection="Muon", output="Z", **params)


def test_ops_pickle():
    for function in (build_pairs, build_combinations):
        assert pickle.loads(pickle.dumps(function)) is function
        assert pickle.loads(pickle.dumps(function.op)).name == function.op.name


def test_real_events():
    import os

    uproot = pytest.importorskip("uproot")
    folder = Path(os.environ.get("FASTHEP_TEST_DATA") or Path(__file__).parents[3].parent / "shared" / "data")
    if not (folder / "nano_dy.root").exists():
        pytest.skip(f"no nano_dy.root in {folder} (FASTHEP_TEST_DATA)")
    names = [f"Muon_{field}" for field in FIELDS]
    arrays = uproot.open(folder / "nano_dy.root")["Events"].arrays(names, entry_stop=500)
    events = Events({name: arrays[name] for name in names}, len(arrays))
    out = call(build_combinations, events, collection="Muon", output="Z")
    expected = [[vector(p) for p in combinations(objects(events, "Muon", i), 2)] for i in range(len(events))]
    assert out["nZ"].sum() > 0
    np.testing.assert_allclose(
        ak.flatten(out["Z_mass"]).to_numpy(), [r["mass"] for rows in expected for r in rows], rtol=1e-6
    )


def test_roles_that_differ_get_every_assignment():
    columns = call(
        build_combinations, stream(Muon=[2, 3]), collection="Muon", n=3, roles=["a", "b", "c"], output="T",
        exchangeable=[["a", "b"]],
    )  # fmt: skip
    rows = [columns[f"T_{role}_index"][1].tolist() for role in "abc"]
    assert columns["nT"].tolist() == [0, 3]
    assert list(zip(*rows, strict=True)) == [(0, 1, 2), (0, 2, 1), (1, 2, 0)]


@pytest.mark.parametrize(
    ("params", "path", "message"),
    [
        ({"collection": "Muon", "roles": ["a", "b"], "exchangeable": [["a", "x"]]}, ("exchangeable", 0, 1), "no role `x`"),
        ({"collection": "Muon", "roles": ["a", "b"], "exchangeable": [["a", "a"]]}, ("exchangeable",), "occurs twice"),
        ({"collection": "Muon", "roles": ["a"], "exchangeable": []}, ("roles",), "2 different roles"),
        ({"collections": ["Muon", "Electron"], "exchangeable": []}, ("exchangeable",), "different collections"),
    ],
)  # fmt: skip
def test_wrong_groups_of_roles(params, path, message):
    (problem,) = analyse(build_combinations, output="T", **params).problems
    assert problem.path == path
    assert message in problem.message
