"""Ops cannot change columns that other stages and passes use: writing fails, or changes a copy."""

from __future__ import annotations

import copy
import json
import pickle

import awkward as ak
import numpy as np
import pytest

from fasthep_parsl.ops.columns.read_only import read_only, take_ownership
from fasthep_parsl.ops.stream import Events
from fasthep_parsl.worker.calls import unchanging

HEAD = """\
import awkward as ak
import numba
import numpy as np

from fasthep_parsl import jagged, kernel, lists, op

@numba.njit
def all_seven(flat):
    values = np.asarray(flat)
    for i in range(len(values)):
        values[i] = 7

@numba.njit
def lists_of_seven(array):
    for inner in array:
        values = np.asarray(inner)
        for i in range(len(values)):
            values[i] = 7

@kernel
def seven(i, values):
    values[i] = 7

@op("my.attack", reads=["x", "Jet_pt", "nJet", "y", "j", "maybe", "text", "rec"])
def attack(events):
    {attack}
    return {{}}

@op("my.make", reads=["x", "Jet_pt"], writes={{"y": (), "j": ("nJet",), "maybe": (), "text": (), "rec": ()}})
def make(events):
    text = ak.Array(np.where(np.asarray(events.x) % 2, "odd", "even"))
    rec = ak.zip({{"x": events.x, "pt": ak.sum(events.Jet_pt, axis=1)}})
    return {{"rec": rec, "y": events.x * 1, "j": events.Jet_pt * 1, "maybe": ak.firsts(events.Jet_pt), "text": text}}

@op("my.look", reads=["x", "Jet_pt", "nJet", "y", "j", "maybe", "text", "rec"], product="seen", merge=lambda a, b: a + b)
def look(events):
    return ak.to_list(ak.zip({{name: events[name] for name in events}}, depth_limit=1))
"""
ATTACKS = {
    "none": "copy = events.x.copy(); copy *= 2",
    "in place": "x = events.x; x *= 2",
    "asarray": "x = np.asarray(events.x); x[:] = 0",
    "flag": "events.x.flags.writeable = True; events.x[:] = 0",
    "setflags": "x = np.asarray(events.y); x.setflags(write=True); x[:] = 0",
    "flatten": "flat = ak.to_numpy(ak.flatten(events.Jet_pt)); flat *= 2",
    "ravel": "flat = ak.to_numpy(ak.ravel(events.Jet_pt)); flat *= 2",
    "flatten and flag": "flat = ak.to_numpy(ak.flatten(events.j)); flat.flags.writeable = True; flat *= 2",
    "content": "events.Jet_pt.layout.content.data[:] = 0",
    "content and flag": "d = events.j.layout.content.data; d.flags.writeable = True; d[:] = 0",
    "offsets": "events.Jet_pt.layout.offsets.data[:] = 0",
    "starts": "events.j.layout.starts.data[:] = 0",
    "option": "for b in ak.to_buffers(events.maybe)[2].values(): b[:] = 0",
    "text": "for b in ak.to_buffers(events.text)[2].values(): b[:] = 65",
    "counter": "events.nJet[:] = 0",
    "view": "events.x[::2][:] = 0",
    "out": "np.multiply(events.y, 0, out=events.y)",
    "sort": "events.y[::-1].sort()",
    "numba of awkward": "all_seven(ak.flatten(events.Jet_pt))",
    "numba of lists": "lists_of_seven(events.j)",
    "numba of numpy": "all_seven(np.asarray(events.y))",
    "kernel": "seven(len(events), events.x)",
    "lists": "lists(events, 'Jet_pt')[1][:] = 0",
    "lists offsets": "lists(events, 'Jet_pt')[0][:] = 0",
    "lists and kernel": "seven(3, lists(events, 'j')[1])",
    "selected": "events[events.x > 3].x[:] = 0",
    "selected lists": "ak.to_numpy(ak.flatten(events[events.x > 3].j))[:] = 0",
    "record": "ak.to_numpy(events.to_awkward().x)[:] = 0",
    "memoryview": "memoryview(events.x)[0] = 3",
    "field of a record": "r = events.rec; r['pt'] = r.pt * 0; assert ak.all(r.pt == 0); assert ak.any(events.rec.pt != 0)",
    "inside of a record": "np.asarray(events.rec.x)[:] = 0",
}


def jets(cluster):
    counts = [x % 3 for x in range(25 * cluster, 25 * cluster + 25)]
    firsts = [sum(counts[:event]) for event in range(25)]
    return [[first + jet + 0.5 for jet in range(count)] for first, count in zip(firsts, counts, strict=True)]


HARMLESS = ("none", "field of a record")
RIGHT = [
    {"x": x, "nJet": x % 3, "Jet_pt": pt, "y": x, "j": pt, "maybe": pt[0] if pt else None}
    | {"text": ("even", "odd")[x % 2], "rec": {"x": x, "pt": sum(pt)}}
    for x, pt in enumerate([pt for cluster in range(4) for pt in jets(cluster)])
]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["source", "made", "filtered", "stored"])
@pytest.mark.parametrize("attack", ATTACKS)
def test_what_others_use_cannot_be_changed(flow, small_files, kind, attack):
    (flow.folder / "my_ops.py").write_text(HEAD.format(attack=ATTACKS[attack]))
    s = flow.stage
    stages = [s("Make", "my.make")]
    if kind == "filtered":
        stages.append(s("Most", "hep.select", selection=["x < 90"]))
    before = stages[-1]["id"]
    pool = "other" if kind == "stored" else "default"
    stages += [s("Attack", "my.attack", [before], pool), s("Look", "my.look", [before], pool)]
    outcome = flow.write(stages, [small_files / "a.root"], use={"modules": ["my_ops.py"]}).run(chunk_size=100)
    failures = outcome.summary["failures"]
    assert {failure["stage"] for failure in failures} <= {"Attack"}
    if (attack, kind) != ("inside of a record", "filtered"):  # where each look at it is a copy
        assert bool(failures) is (attack not in HARMLESS)
    if failures:
        assert "op `my.attack` writes to a column or product" in failures[0]["message"]
        assert failures[0]["where"] == "my_ops.py:26"
    else:
        assert outcome.products["Look", "seen"] == (RIGHT[:90] if kind == "filtered" else RIGHT)


REUSE = """\
import awkward as ak
import numpy as np

from fasthep_parsl import op

kept = np.zeros(1000)
lists = ak.unflatten(kept, np.full(500, 2))
cuts = []

@op("my.filled", reads=["x"], writes=["y", "v", "j"])
def filled(events, *, how: str):
    n = len(events)
    kept[:n] = events.x
    kept[500 : 500 + n] = 0
    columns = {"y": kept[:n], "v": kept[:n].view("f8"), "j": ak.unflatten(kept[:n], np.ones(n, int))}
    return events.with_columns(columns) if how == "events" else columns

@op("my.params", reads=["x"], writes=["p"])
def params(events, *, cuts: list[int]):
    cuts.append(1)
    return {"p": np.full(len(events), len(cuts))}

@op("my.product", reads=["x"], product="total", merge=lambda a, b: {k: a[k] + b[k] for k in a})
def product(events):
    return {"sum": np.asarray([events.x.sum()])}

@op("my.use", reads=["x"], writes=["u"])
def use(events, *, total):
    total["sum"] += 1
    return {"u": events.x + total["sum"]}
"""


@pytest.mark.parametrize("how", ["dict", "events"])
@pytest.mark.parametrize("pool", ["default", "other"])
def test_an_op_may_fill_one_array_again_and_again(flow, small_files, how, pool):
    (flow.folder / "my_ops.py").write_text(REUSE)
    s = flow.stage
    sums = [s(f"S{field}", "probe.sum", ["Again"], pool, field=field) for field in ("y", "v", "j")]
    stages = [s("Fill", "my.filled", how=how), s("Again", "hep.select", selection=["x >= 0"], pool=""), *sums]
    flow.write(stages, [small_files / "a.root"], use={"modules": ["probe_ops.py", "my_ops.py"]})
    plan = flow.compile(chunk_size=25)
    outcome = flow.run(plan.model_copy(update={"pass_size": 25}))
    assert outcome.status == "complete", outcome.summary["failures"]
    assert {outcome.products[f"S{field}", "sum"] for field in ("y", "v", "j")} == {sum(range(100))}


def test_two_stages_that_fill_one_array_have_each_their_own(flow, small_files):
    (flow.folder / "my_ops.py").write_text(REUSE)
    s = flow.stage
    odd = [s("Odd", "hep.select", [], selection=["x % 2 == 1"]), s("One", "my.filled", how="dict")]
    even = [s("Even", "hep.select", [], selection=["x % 2 == 0"]), s("Two", "my.filled", how="dict")]
    sums = [s("S1", "probe.sum", ["One"], field="y"), s("S2", "probe.sum", ["Two"], field="y")]
    flow.write([*odd, *even, *sums], [small_files / "a.root"], use={"modules": ["probe_ops.py", "my_ops.py"]})
    outcome = flow.run()
    assert (outcome.products["S1", "sum"], outcome.products["S2", "sum"]) == (2500, 2450)


def test_parameters_that_an_op_changes_are_those_of_its_call(flow, small_files):
    (flow.folder / "my_ops.py").write_text(REUSE)
    s = flow.stage
    stages = [s("P", "my.params", cuts=[]), s("S", "probe.sum", field="p")]
    flow.write(stages, [small_files / "a.root"], use={"modules": ["probe_ops.py", "my_ops.py"]})
    plan = flow.compile(chunk_size=25).model_copy(update={"pass_size": 25})
    assert flow.run(plan).products["S", "sum"] == 100


def test_products_that_an_op_is_given_cannot_be_changed(flow, small_files):
    (flow.folder / "my_ops.py").write_text(REUSE)
    s = flow.stage
    stages = [s("T", "my.product"), s("U", "my.use", [], bind=("T", "total", "total"))]
    flow.write(stages, [small_files / "a.root"], use={"modules": ["my_ops.py"]})
    (failure,) = flow.run(chunk_size=100).summary["failures"]
    assert (failure["stage"], failure["where"]) == ("U", "my_ops.py:29")
    assert "writes to a column or product" in failure["message"]


def test_what_nobody_else_knows_is_not_copied():
    def made():
        flat = np.arange(6.0)
        return {"flat": flat, "lists": ak.unflatten(np.arange(6.0), [2, 3, 1, 0, 0, 0]), "text": ak.Array(["a"] * 6)}

    columns = made()
    addresses = [columns["flat"].ctypes.data, columns["lists"].layout.content.data.ctypes.data]
    found = take_ownership(columns)
    assert [found["flat"].ctypes.data, found["lists"].layout.content.data.ctypes.data] == addresses


def test_columns_that_share_their_offsets_still_do():
    offsets, n = np.array([0, 2, 3]), ak.contents.NumpyArray
    contents = [n(np.arange(3.0)), n(np.arange(3))]
    lists = [ak.Array(ak.contents.ListOffsetArray(ak.index.Index64(offsets), content)) for content in contents]
    events = Events({"a": lists[0], "b": lists[1]}, 2)
    a, b = (events[name].layout.offsets.data for name in "ab")
    assert a is b
    assert not a.flags.writeable


@pytest.mark.parametrize(
    "array", [np.arange(5), np.arange(9)[::2], np.arange(4).astype("S1"), np.arange(3.0, dtype="f2")]
)
def test_sealed_memory_cannot_be_opened(array):
    column = read_only(array)
    with pytest.raises(ValueError, match="WRITEABLE"):
        column.flags.writeable = True
    assert read_only(column) is column
    assert column.tolist() == array.tolist()


KEEPS = """\
import awkward as ak
import numpy as np

from fasthep_parsl import op

records = []

@op("my.records", reads=["x"], writes=["r"])
def kept(events):
    for record in records:
        record["x"] = record.x * 0
    records.append(ak.zip({"x": events.x}))
    return {"r": records[-1]}

@op("my.value", reads=["r"], writes=["v"])
def value(events):
    return {"v": events.r.x}

@op("my.meta", reads=["x"], writes=["m"])
def meta(events, *, context):
    context.dataset.meta["xsec"] *= 2
    return {"m": events.x}
"""


def test_records_that_an_op_keeps_and_changes_are_its_own(flow, small_files):
    (flow.folder / "my_ops.py").write_text(KEEPS)
    s = flow.stage
    stages = [s("R", "my.records"), s("V", "my.value", ["R"], "other"), s("S", "probe.sum", ["V"], "other", field="v")]
    flow.write(stages, [small_files / "a.root"], use={"modules": ["my_ops.py", "probe_ops.py"]})
    plan = flow.compile(chunk_size=25).model_copy(update={"pass_size": 60})
    outcome = flow.run(plan)
    assert outcome.status == "complete", outcome.summary["failures"]
    assert outcome.products["S", "sum"] == 4950


def test_facts_of_datasets_cannot_be_changed(flow, small_files):
    (flow.folder / "my_ops.py").write_text(KEEPS)
    flow.write([flow.stage("M", "my.meta")], [small_files / "a.root"], use={"modules": ["my_ops.py"]})
    content = json.loads(flow.path.read_text())
    content["data"]["datasets"][0]["meta"] = {"xsec": 2.0, "more": {"a": [1]}}
    flow.path.write_text(json.dumps(content))
    (failure,) = flow.run().summary["failures"]
    assert "this dict is read-only" in failure["message"]
    assert failure["where"] == "my_ops.py:21"
    facts = unchanging({"xsec": 2.0, "more": {"a": [1]}})
    assert pickle.loads(pickle.dumps(facts)) == json.loads(json.dumps(facts)) == facts
    assert type(copy.deepcopy(facts)) is dict
