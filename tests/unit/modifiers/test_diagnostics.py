"""``diagnostics``: counts are those of the data, whatever the cut of the events; nothing is computed for them."""

from __future__ import annotations

import json
import sys
import weakref
from types import SimpleNamespace

import awkward as ak
import numpy as np
import pytest
import uproot

from fasthep_parsl import registry
from fasthep_parsl.interfaces import Call
from fasthep_parsl.modifiers.diagnostics import Diagnostics, counting
from fasthep_parsl.modifiers.diagnostics.counting import count
from fasthep_parsl.ops.stream import Events
from fasthep_parsl.plan import PlanSource
from fasthep_parsl.resources import memory
from fasthep_parsl.sources.files import bytes_by_branch, open_file

NAN = float("nan")


@pytest.mark.parametrize(
    ("column", "counts"),
    [
        (np.arange(5), (5, 0, 0)),
        (np.array([1.0, NAN, NAN]), (3, 0, 2)),
        (np.zeros(0), (0, 0, 0)),
        (np.array([True, False]), (2, 0, 0)),
        (ak.Array([[1.0, NAN], [], [2.0]]), (3, 0, 1)),
        (ak.Array([[1.0, NAN], [], [2.0]])[1:], (1, 0, 0)),
        (ak.Array([[1.0, NAN], [], [2.0]])[[2, 0]], (3, 0, 1)),
        (ak.Array([1.0, None, NAN]), (3, 1, 1)),
        (ak.mask(np.array([1.0, NAN, NAN]), np.array([True, False, True])), (3, 1, 1)),  # NaN under a None is none
        (ak.mask(np.array([1.0, NAN, 3.0]), np.array([True, False, True])), (3, 1, 0)),
        (ak.Array([[1.0, None], None, [NAN]]), (4, 2, 1)),
        (ak.Array([[[1.0], [NAN, 2.0]], []]), (3, 0, 1)),
        (ak.to_regular(ak.Array([[1.0, NAN], [2.0, 3.0]])), (4, 0, 1)),
        (ak.from_numpy(np.array([[1.0, NAN], [2.0, 3.0]])), (4, 0, 1)),
        (ak.mask(ak.from_numpy(np.array([[1.0, NAN], [2.0, 3.0]])), np.array([True, False])), (3, 1, 1)),
        (ak.mask(ak.from_numpy(np.array([[1.0, 4.0], [2.0, 3.0]])), np.array([True, False])), (3, 1, 0)),
        (ak.Array(["a", "bcd"]), (2, 0, 0)),
        ([1, 2], (2, 0, 0)),
        (ak.Array([{"x": 1}, {"x": 2}]), (2, 0, 0)),
        (ak.Array([]), (0, 0, 0)),
        (np.array([1 + 1j, complex(NAN, 0)]), (2, 0, 1)),
    ],
)
def test_entries_none_and_nan(column, counts):
    assert tuple(count(column)) == counts
    assert tuple(count(column)) == counts  # as remembered


def test_a_column_is_not_kept_alive_by_being_counted():
    column = np.array([NAN])
    assert count(column) == counting._known.get(column) == [1, 0, 1]
    alive = weakref.ref(column)
    del column
    assert alive() is None


class Noted(list):
    """Notes as a worker keeps them; a pass that is over is asked for what was announced."""

    def __getitem__(self, index):
        note = super().__getitem__(index)
        return note() if callable(note) else note


def call_of(name, notes, function=None, reads=("x", "y")):
    op = registry.load("ops", name).op
    return Call(function or op.call, op, "S", "default", reads, notes.append)


def test_what_is_filtered_from_entries_without_nan_is_not_looked_through(monkeypatch):
    looked = []
    monkeypatch.setattr(counting, "_nans", lambda data, nans=counting._nans: looked.append(len(data)) or nans(data))
    before = Events({"x": np.arange(6.0), "y": np.array([NAN, 1, 2, 3, 4, 5]), "v": ak.Array([[1.0]] * 6)}, 6)
    even = np.arange(6) % 2 == 0
    notes = Noted()

    def cut(events):
        assert [len(events.x), len(events.y), len(events.v)] == [6, 6, 6]
        return events.filter(even)

    after = Diagnostics().wrap(call_of("hep.define", notes, cut, ("x", "y", "v")))(before)
    Diagnostics().wrap(call_of("hep.define", notes, lambda e: {"z": e.x + e.y + e.v[:, 0]}, ("x", "y", "v")))(after)
    assert notes[0]["fields_out"] == {}
    assert looked == [6, 6, 6]
    assert notes[1]["fields_in"] == {"x": [3, 0, 0], "y": [3, 0, 1], "v": [3, 0, 0]}
    assert notes[1]["fields_out"] == {"z": [3, 0, 1]}
    assert looked == [6, 6, 6, 3, 3]  # `z` is new, and of what was filtered `y` alone may have NaN


def test_what_replaces_a_field_is_looked_through():
    before = Events({"x": np.arange(6.0)}, 6)
    notes = Noted()

    def replace(events):
        return events.with_columns({"x": events.x * NAN}).filter(slice(0, 3))

    after = Diagnostics().wrap(call_of("hep.define", notes, replace, ("x",)))(before)
    Diagnostics().wrap(call_of("hep.define", notes, lambda e: {"z": e.x}, ("x",)))(after)
    assert notes[1]["fields_in"] == {"x": [3, 0, 3]}


def test_it_takes_no_column_that_the_op_leaves_alone():
    events = Events({"x": np.arange(6.0), "y": np.arange(6.0), "z": np.arange(6.0)}, 6).filter(np.arange(6) % 2 == 0)
    notes = Noted()
    wrapped = Diagnostics().wrap(
        call_of("hep.define", notes, lambda events: events.with_columns({"v": events.x * NAN}))
    )
    result = wrapped(events)
    assert notes[0]["fields_in"] == {"x": [3, 0, 0]}
    assert notes[0]["fields_out"] == {"v": [3, 0, 3]}
    assert events.available("y") is None
    assert result.available("z") is None
    assert (notes[0]["events_in"], notes[0]["events_out"]) == (3, 3)


def test_fields_may_be_left_out():
    notes = Noted()
    Diagnostics(fields=False).wrap(call_of("hep.define", notes, lambda events: {"v": events.x}))(
        Events({"x": np.ones(2)}, 2)
    )
    assert {"fields_in", "fields_out"} & set(notes[0]) <= {"fields_in"}
    assert not notes[0].get("fields_in")
    assert notes[0]["events_out"] == 2


def test_pieces_are_counted_once_even_if_the_op_looks_twice():
    pieces = [Events({"x": np.array([1.0, NAN])}, 2), Events({"x": np.array([3.0])}, 1)]

    class Again:
        def __iter__(self):
            return iter(pieces)

    seen = []

    def twice(events):
        seen.extend(float(piece.x[0]) for _ in range(2) for piece in events)

    notes = Noted()
    call = call_of("hep.hist", notes, twice, ("*",))
    Diagnostics().wrap(call)(Again())
    assert seen == [1.0, 3.0, 1.0, 3.0]
    assert (notes[0]["events_in"], notes[0]["fields_in"]) == (3, {"x": [3, 0, 1]})


def test_an_op_that_reads_no_stream_has_no_events():
    notes = Noted()
    assert Diagnostics().wrap(call_of("hep.hist", notes, lambda events: 7))(None) == 7
    assert "events_in" not in notes[0]


def test_a_call_that_fails_notes_nothing():
    notes = Noted()
    with pytest.raises(ZeroDivisionError):
        Diagnostics().wrap(call_of("hep.hist", notes, lambda events: 1 / 0))(None)
    assert notes == []


def test_peak_is_that_of_the_call_and_not_of_the_process():
    big = np.ones(30_000_000)  # 240 MB
    del big
    highest = memory.peak()
    notes = Noted()
    Diagnostics().wrap(call_of("hep.hist", notes, lambda events: np.ones(5_000_000).sum()))(None)
    note = notes[0]
    assert 35e6 < note["added"] < 80e6  # of 40 MB; the kernel counts in lots per core
    assert note["memory"] < highest - 100e6
    assert memory.peak() >= highest  # the process's own is not lost


def test_memory_is_that_of_the_first_and_of_larger_passes():
    notes = Noted()
    wrapped = Diagnostics().wrap(call_of("hep.hist", notes, lambda events: np.ones(1000 * len(events)).sum()))
    for number in (4000, 4000, 5000, 9000):
        wrapped(Events({}, number))
        notes[-1]  # the pass has succeeded
    assert ["added" in note() for note in list(notes)] == [True, False, False, True]
    wrapped(Events({}, 20_000))
    failed = notes.pop()  # its pass has not, and is done again
    wrapped(Events({}, 15_000))
    assert "added" in notes[-1]
    assert "added" in failed()
    small, large = notes[0]["added"], notes[3]["added"]
    assert 25e6 < small < 45e6
    assert 60e6 < large < 90e6
    assert Diagnostics.merge(notes[0], notes[1])["added"] == small


@pytest.fixture
def cuts(flow, small_files):
    s = flow.stage
    modifiers = {"modifiers": ["diagnostics"]}
    some = {**s("Some", "hep.select", [], selection=["x > 3"]), "execution": modifiers}
    define = s("New", "hep.define", ["Some"], variables=[{"name": "lead", "expr": "leading(Jet_pt)"}])
    define["execution"] = modifiers
    stages = [some, define, s("Sum", "probe.sum", ["New"]), {**s("All", "probe.all", ["New"]), "execution": modifiers}]
    return flow.write(stages, [small_files / "a.root", small_files / "b.root"])


def written(flow):
    return json.loads((flow.folder / "run" / "diagnostics" / "diagnostics.json").read_text())


def counts_of(found):
    keys = ("op", "events_in", "events_out", "fields_in", "fields_out")
    return {name: {key: row.get(key) for key in keys} for name, row in found["stages"].items()}


@pytest.mark.parametrize("chunk", [None, 7, 25])
def test_what_is_written(cuts, chunk):
    outcome = cuts.run(chunk_size=chunk)
    assert outcome.status == "complete"
    found = written(cuts)
    zero = {"none": 0, "nan": 0}
    lists = [n % 3 for n in range(4, 140)]
    assert counts_of(found) == {
        "Some": {
            "op": "hep.select", "events_in": 140, "events_out": 136, "fields_in": {"x": {"entries": 140, **zero}},
            "fields_out": {},
        },
        "New": {
            "op": "hep.define", "events_in": 136, "events_out": 136,
            "fields_in": {"Jet_pt": {"entries": sum(lists), **zero}},
            "fields_out": {"lead": {"entries": 136, "none": lists.count(0), "nan": 0}},
        },
        "All": {
            "op": "probe.all", "events_in": 136, "events_out": None,
            "fields_in": {"x": {"entries": 136, **zero}}, "fields_out": None,
        },
    }  # fmt: skip
    assert found["read"]["events"] == 140
    assert found["read"]["branches"].keys() == {"x", "Jet_pt"}
    assert found["read"]["bytes"] == outcome.summary["bytes_read"]
    text = (cuts.folder / "run" / "diagnostics" / "diagnostics.txt").read_text()
    assert "Reading: 140 events" in text
    assert "97.1 %" in text
    assert "GPU" not in text


def test_an_onion_in_the_order_given(cuts):
    plan = cuts.compile()
    assert [m.kind for m in plan.stage("Some").modifiers] == ["diagnostics"]
    assert plan.stage("Sum").modifiers == ()


def test_a_pass_that_fails_and_is_halved_counts_once(flow, small_files):
    modifiers = {"execution": {"modifiers": ["diagnostics"]}}
    stages = [
        {**flow.stage("Some", "hep.select", [], selection=["x >= 0"]), **modifiers},
        flow.stage("Bad", "probe.fail", ["Some"], at=[30]),
        flow.stage("Sum", "probe.sum", ["Bad"]),
    ]
    outcome = flow.write(stages, [small_files / "a.root"]).run(chunk_size=10)
    assert outcome.summary["partitions"]["failed"] == 1
    done = outcome.summary["events"]["done"]
    assert written(flow)["stages"]["Some"]["events_in"] == done == written(flow)["read"]["events"]


def test_bytes_by_branch_are_those_that_are_read(small_files, demo_data):
    for path in (small_files / "a.root", next(demo_data.glob("dy_*.root"))):
        source = PlanSource(params={"tree": "Events"}, aliases={"jets": "nJet"})
        for start, stop in ((0, 100), (30, 60), (25, 50), (99, 100)):
            file = open_file(str(path), source)
            fields = ["jets", "Jet_pt"]
            before = file.bytes_read
            found = bytes_by_branch(file, source, [*fields, "absent"], start, stop)
            assert file.bytes_read == before
            assert found.keys() == {"nJet", "Jet_pt"}
            file.read(found, start, stop)
            assert file.bytes_read - before == sum(found.values())
            file.close()


def test_bytes_of_parquet_columns(tmp_path, small_files):
    pytest.importorskip("pyarrow")
    with uproot.open(small_files / "a.root") as file:
        array = file["Events"].arrays(["x", "unused", "Jet_pt"])
    ak.to_parquet(array, tmp_path / "a.parquet", row_group_size=40)
    file = open_file(str(tmp_path / "a.parquet"), PlanSource(kind="parquet"))
    one, all_ = file.branch_bytes(["x", "Jet_pt"], 0, 40), file.branch_bytes(["x", "Jet_pt"], 0, 100)
    assert all(0 < one[name] < all_[name] for name in ("x", "Jet_pt"))
    file.read(["x", "Jet_pt"], 10, 90)
    assert file.bytes_read == sum(all_.values())  # what no stage reads is not counted
    assert sum(all_.values()) < (tmp_path / "a.parquet").stat().st_size
    file.close()


def test_peak_of_a_gpu_is_that_of_its_pool(monkeypatch):
    """CuPy's pool as far as it is asked: a hook that is called after each allocation."""
    used, hooks = [100], []

    class Hook:
        def __enter__(self):
            hooks.append(self)

        def __exit__(self, *error):
            hooks.remove(self)

    pool = SimpleNamespace(used_bytes=lambda: used[0])
    cuda = SimpleNamespace(MemoryHook=Hook)
    cupy = SimpleNamespace(is_available=lambda: True, get_default_memory_pool=lambda: pool, cuda=cuda)
    monkeypatch.setitem(sys.modules, "cupy", cupy)

    def op(events):
        used[0] = 5000
        for hook in hooks:
            hook.malloc_postprocess(size=4900)
        used[0] = 200

    notes = Noted()
    Diagnostics().wrap(call_of("hep.hist", notes, op))(None)
    assert notes[0]["gpu_memory"] == 5000
    assert hooks == []
    cupy.is_available = lambda: False
    Diagnostics().wrap(call_of("hep.hist", notes, op))(None)
    assert "gpu_memory" not in notes[1]
