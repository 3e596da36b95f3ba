"""Joined sources: every value is that of the event's own partner, compared with a plain dictionary."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.version import Version

from fasthep_parsl.interfaces import InputFileError
from fasthep_parsl.plan import PlanJoin, PlanSource
from fasthep_parsl.sources import joined_file, joined_rows
from fasthep_parsl.sources.files import OpenFiles, open_file, prefetch_fields, read_fields
from fasthep_parsl.sources.headers import read_headers
from fasthep_parsl.sources.key_index import KeyIndex, KeyIndices, KeyMatchError, as_keys
from fasthep_parsl.sources.root_file import open_beside

EVENTS = 90
KEYS = ("run", "luminosityBlock", "event")
BY = {name: name for name in KEYS}
CHUNKS = (1, 7, EVENTS)


def content(events=EVENTS, seed=1):
    """Events in no order of their keys; `x` counts them, `Jet_pt` has lists."""
    found = np.random.default_rng(seed)
    counts = np.arange(events) % 3
    return {
        "run": found.integers(1, 4, events).astype(np.uint32),
        "luminosityBlock": found.integers(1, 6, events).astype(np.uint32),
        "event": found.permutation(10 * events)[:events].astype(np.uint64),
        "x": np.arange(events) * 1.0,
        "Jet_pt": ak.unflatten(np.arange(counts.sum()).astype(np.float32), counts),
        "word": ak.Array([f"w{n}" for n in range(events)]),
    }


def chosen(data, rows, **names):
    """Some of the events, in an order, under other names; the numbers are twice as large."""
    return {new: data[old][rows] * 2 if old in ("x", "Jet_pt") else data[old][rows] for new, old in names.items()}


def write(path, data, tree="Events", cluster=40, kind="tree"):
    """Add a tree or RNTuple to a ROOT file, or write a Parquet file, in clusters."""
    path.parent.mkdir(parents=True, exist_ok=True)
    size = len(next(iter(data.values())))
    if kind == "parquet":
        ak.to_parquet(ak.zip(dict(data), depth_limit=1), path, row_group_size=cluster)
        return path
    types = {name: c.dtype if isinstance(c, np.ndarray) else str(ak.type(c).content) for name, c in data.items()}
    with (uproot.update if path.exists() else uproot.recreate)(path) as file:
        out = file.mktree(tree, types) if kind == "tree" else file.mkrntuple(tree, types)
        for first in range(0, size, cluster):
            out.extend({name: column[first : first + cluster] for name, column in data.items()})
    return path


def source(*joins, prefix="m", tree="Events"):
    return PlanSource(name="main", params={"tree": tree}, prefix=prefix, joins=joins)


def join(tree="dir/Friend", **more):
    fields = {"name": "friend", "kind": "root_tree", "params": {"tree": tree}, "prefix": "f", **more}
    return PlanJoin(**fields)


FRIEND = {"evt": "event", "run": "run", "luminosityBlock": "luminosityBlock", "y": "x", "Jet_twice": "Jet_pt", "x": "x", "text": "word"}  # fmt: skip
BY_EVT = {"run": "run", "luminosityBlock": "luminosityBlock", "event": "evt"}


OLD = pytest.mark.skipif(
    Version(uproot.__version__) < Version("5.7.7"), reason="uproot 5.7.6 cannot write this RNTuple"
)


@pytest.fixture(scope="module", params=["tree", pytest.param("ntuple", marks=OLD), "parquet"])
def shuffled(request, tmp_path_factory):
    """Main events, and a file of another format beside it with friends in another order, and more of them."""
    folder = tmp_path_factory.mktemp(request.param)
    data = content(EVENTS + 30)
    words = request.param != "ntuple"
    names = FRIEND if words else {name: old for name, old in FRIEND.items() if name != "text"}
    rows = np.random.default_rng(2).permutation(EVENTS + 30)
    main = {name: column[:EVENTS] for name, column in data.items() if name != "word"}
    path = write(folder / "main.root", main)
    suffix = "parquet" if request.param == "parquet" else "root"
    friend = chosen(data, rows, **names)
    write(folder / f"friends/main_f.{suffix}", friend, "dir/Friend", 25, request.param)
    kind = "parquet" if request.param == "parquet" else "root_tree"
    params = {} if kind == "parquet" else {"tree": "dir/Friend"}
    return str(path), join(kind=kind, params=params, files=f"friends/{{stem}}_f.{suffix}", by=BY_EVT), data, words


@pytest.mark.slow
@pytest.mark.parametrize("chunk", CHUNKS)
def test_shuffled_friends_are_found_by_their_keys(shuffled, chunk):
    path, friend, data, words = shuffled
    file = open_file(path, source(friend))
    assert file.entries == EVENTS
    names = ["m.x", "y", "f.x", "Jet_twice", "Jet_pt", "event", *(["text"] if words else [])]
    for start in range(0, EVENTS, chunk):
        stop = min(start + chunk, EVENTS)
        found = file.read(names, start, stop)
        assert list(found) == names
        assert found["m.x"].tolist() == data["x"][start:stop].tolist()
        assert found["y"].tolist() == found["f.x"].tolist() == (2 * data["x"][start:stop]).tolist()
        assert ak.to_list(found["Jet_twice"]) == ak.to_list(2 * data["Jet_pt"][start:stop])
        assert ak.to_list(found["Jet_pt"]) == ak.to_list(data["Jet_pt"][start:stop])
        if words:
            assert ak.to_list(found["text"]) == ak.to_list(data["word"][start:stop])
    file.close()


@pytest.mark.parametrize("chunk", CHUNKS)
def test_events_without_a_friend_have_missing_values_if_asked(tmp_path, chunk):
    data = content()
    kept = np.random.default_rng(3).permutation(EVENTS)[: EVENTS // 2]
    path = write(tmp_path / "a.root", data)
    write(path, chosen(data, kept, **FRIEND), "dir/Friend", 25)
    file = open_file(str(path), source(join(by=BY_EVT, on_mismatch="missing")))
    partners = {int(row): row for row in kept}
    for start in range(0, EVENTS, chunk):
        stop = min(start + chunk, EVENTS)
        found = file.read(["y", "Jet_twice", "text", "m.x"], start, stop)
        rows = [partners.get(row) for row in range(start, stop)]
        assert ak.to_list(found["y"]) == [None if row is None else 2.0 * row for row in rows]
        assert ak.to_list(found["text"]) == [None if row is None else f"w{row}" for row in rows]
        expected = [None if row is None else ak.to_list(2 * data["Jet_pt"][row]) for row in rows]
        assert ak.to_list(found["Jet_twice"]) == expected
        assert found["y"].layout.is_option  # also where nothing is missing
    file.close()


def test_an_empty_friend_lacks_all_events(tmp_path):
    data = content(5)
    path = write(tmp_path / "a.root", data)
    write(path, chosen(data, np.arange(0), **FRIEND), "dir/Friend")
    file = open_file(str(path), source(join(by=BY_EVT, on_mismatch="missing")))
    found = file.read(["y", "Jet_twice"], 0, 5)
    assert ak.to_list(found["y"]) == ak.to_list(found["Jet_twice"]) == [None] * 5


def test_events_without_a_friend_are_refused_with_their_keys(tmp_path):
    data = content()
    path = write(tmp_path / "a.root", data)
    write(path, chosen(data, np.arange(EVENTS - 1), **FRIEND), "dir/Friend", 25)
    file = open_file(str(path), source(join(by=BY_EVT)))
    assert file.read(["y"], 0, EVENTS - 1)["y"].tolist() == (2 * data["x"][:-1]).tolist()
    with pytest.raises(InputFileError) as caught:
        file.read(["y"], 0, EVENTS)
    lost = f"run {data['run'][-1]}, luminosityBlock {data['luminosityBlock'][-1]}, event {data['event'][-1]}"
    assert caught.value.message == f"source `friend`: it lacks 1 of the events 0–90, such as {lost}"
    assert "on_mismatch: missing" in str(caught.value.hint)
    assert len(file.read(["m.x"], 0, EVENTS)["m.x"]) == EVENTS, "what is not read is not looked for"


@pytest.mark.parametrize("mismatch", ["error", "missing"])
def test_two_friends_of_an_event_are_refused(tmp_path, mismatch):
    data = content()
    path = write(tmp_path / "a.root", data)
    write(path, chosen(data, np.r_[np.arange(EVENTS), 4, 4, 9], **FRIEND), "dir/Friend")
    file = open_file(str(path), source(join(by=BY_EVT, on_mismatch=mismatch)))
    with pytest.raises(InputFileError, match="source `friend`: 2 keys occur more than once, such as run") as caught:
        file.read(["y"], 50, 51)
    assert "must have one partner" in str(caught.value.hint)


def test_facts_of_runs_and_lumi_blocks_are_joined_to_all_of_their_events(tmp_path):
    data = content()
    path = write(tmp_path / "a.root", data)
    runs = np.array([3, 1, 2], np.uint32)
    pairs = np.array([(run, lumi) for run in (2, 1, 3) for lumi in range(9, 0, -1)])
    write(path, {"run": runs, "energy": runs * 100.0}, "Runs")
    blocks = {"run": pairs[:, 0], "luminosityBlock": pairs[:, 1], "delivered": pairs[:, 0] * 10.0 + pairs[:, 1]}
    write(path, blocks, "LuminosityBlocks")
    joins = (
        join("Runs", name="runs", prefix="runs", by={"run": "run"}),
        join("LuminosityBlocks", name="lumis", prefix="lumis", by={name: name for name in KEYS[:2]}),
    )
    found = open_file(str(path), source(*joins)).read(["energy", "lumis.delivered", "run"], 10, 60)
    assert found["energy"].tolist() == (data["run"][10:60] * 100.0).tolist()
    assert found["lumis.delivered"].tolist() == (data["run"] * 10.0 + data["luminosityBlock"])[10:60].tolist()
    alone = open_file(str(path), PlanSource(params={"tree": "Runs"}))
    assert alone.read(["energy"], 0, 3)["energy"].tolist() == [300, 100, 200]


@pytest.mark.parametrize("chunk", CHUNKS)
@pytest.mark.parametrize("kind", ["tree", "ntuple", "parquet"])
def test_entries_are_joined_one_by_one(tmp_path, kind, chunk):
    data = {name: column for name, column in content().items() if name != "word"}
    path = write(tmp_path / "in/a.root", data)
    beside = tmp_path / ("friends/in.parquet" if kind == "parquet" else "friends/in.root")
    write(beside, chosen(data, np.arange(EVENTS), z="x", x="x"), "Extra", 33, kind)
    params = {} if kind == "parquet" else {"tree": "Extra"}
    made = join(
        kind="parquet" if kind == "parquet" else "root_tree",
        params=params,
        files=f"../friends/{{folder}}{beside.suffix}",
    )
    file = open_file(str(path), source(made))
    assert file.clusters() == [0, 40, 80, 90]
    for start in range(0, EVENTS, chunk):
        stop = min(start + chunk, EVENTS)
        found = file.read(["z", "m.x", "f.x", "f.z"], start, stop)
        assert found["z"].tolist() == found["f.x"].tolist() == found["f.z"].tolist() == (2 * found["m.x"]).tolist()
        assert found["m.x"].tolist() == list(range(start, stop))


def test_other_trees_of_the_file_of_the_events_can_be_opened(tmp_path):
    """Sums of weights and luminosity sections are read from them."""
    path = write(tmp_path / "a.root", {"x": np.arange(3.0)})
    write(path, {"sum": np.array([7.0])}, "Runs")
    write(tmp_path / "b.root", {"y": np.arange(3.0)}, "F")
    ak.to_parquet(ak.Array({"z": [1.0, 2.0, 3.0]}), tmp_path / "c.parquet")
    file = open_file(str(path), source(join("F", files="b.root")))
    assert open_beside(file, "Runs").read(["sum"], 0, 1)["sum"].tolist() == [7]
    made = PlanSource(kind="parquet", prefix="p", joins=(join("F", files="b.root"),))
    assert not hasattr(open_file(str(tmp_path / "c.parquet"), made), "directory")


def test_names_are_those_of_one_branch_or_refused(tmp_path):
    data = content(6)
    path = write(tmp_path / "a.root", data)
    write(path, chosen(data, np.arange(6), **FRIEND), "dir/Friend")
    file = open_file(str(path), source(join(by=BY_EVT)))
    branches = file.branches()
    for name, branch in branches.found.items():
        assert file.has(name)
        if not branch.problem:
            assert len(file.read([name], 1, 3)[name]) == 2
    assert branches.found["x"].problem == "is in several sources: `main` and `friend`"
    assert branches.found["x"].hint == "write `m.x` or `f.x`"
    assert branches.synonyms["m.run"] == "run", "keys are equal: the plain name is that of the events"
    assert branches.found["f.run"].dtype == "uint32"
    assert branches.synonyms["f.y"] == "y"
    assert not file.has("f.Jet_pt")
    with pytest.raises(InputFileError, match="several sources"):
        file.read(["x"], 0, 1)
    with pytest.raises(InputFileError, match=r"no branch `f\.Jet_pt`"):
        file.read(["f.Jet_pt"], 0, 1)


def test_lists_of_two_trees_do_not_promise_equal_lengths(real_nano):
    path, _ = real_nano
    file = open_file(path, source(join("Events", name="copy", prefix="copy")))
    found = file.branches().found
    assert found["m.Muon_pt"].shape == ("nMuon",)
    assert found["copy.Muon_pt"].shape == ("*",)


@pytest.fixture(scope="module")
def real_nano(tmp_path_factory, demo_data):
    """A file of the demo, with a second tree for its events in another order, without the last ones."""
    path = shutil.copy(next(demo_data.glob("*.root")), tmp_path_factory.mktemp("nano") / "nano.root")
    with uproot.open(f"{path}:Events") as tree:
        data = {name: tree[name].array() for name in (*KEYS, "Muon_pt", "nMuon")}
    rows = np.random.default_rng(5).permutation(len(data["event"]))
    keys = {name: np.asarray(data[name])[rows] for name in KEYS}
    write(
        path,
        {**keys, "score": np.asarray(data["nMuon"])[rows] * 1.5, "Muon_score": data["Muon_pt"][rows] / 2},
        "scores/T",
        64,
    )
    return str(path), data


def test_scores_of_a_nanoaod_like_file(real_nano):
    path, data = real_nano
    file = open_file(path, source(join("scores/T;1", by=BY)))
    found = file.read(["score", "Muon_score", "Muon_pt"], 0, file.entries)
    assert found["score"].tolist() == (data["nMuon"] * 1.5).tolist()
    assert ak.all(found["Muon_score"] == data["Muon_pt"] / 2)


@settings(max_examples=60)
@given(st.data())
def test_any_keys_are_found_as_in_a_dictionary(data):
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    columns, rows = data.draw(st.integers(1, 3)), data.draw(st.integers(0, 40))
    spread = data.draw(st.sampled_from([2, 5, 2**40, 2**62]))
    keys = [random.integers(-spread, spread, rows) for _ in range(columns)]
    wanted = [np.concatenate([key, random.integers(-spread, spread, 10)]) for key in keys]
    plain = list(zip(*(key.tolist() for key in keys), strict=True))
    names = [f"k{number}" for number in range(columns)]
    if len(set(plain)) < len(plain):
        with pytest.raises(KeyMatchError, match="more than once"):
            KeyIndex(names, keys)
        return
    known = {key: row for row, key in enumerate(plain)}
    expected = [known.get(key, -1) for key in zip(*(key.tolist() for key in wanted), strict=True)]
    assert KeyIndex(names, keys).find(wanted).tolist() == expected


def test_large_event_numbers_are_not_rounded():
    ours = as_keys(np.array([2**60 + 1, 2**63 + 5], np.uint64), "event")
    assert KeyIndex(["event"], [ours]).find([as_keys(np.array([2**60, 2**60 + 1, 2**63 + 5], np.uint64), "e")]).tolist() == [-1, 0, 1]  # fmt: skip
    signed = as_keys(np.array([2**60 + 1]), "e")
    assert KeyIndex(["event"], [ours]).find([signed]).tolist() == [0]


@pytest.mark.parametrize(
    "column", [np.array([1.0, 2.0]), ak.Array([[1], [2]]), ak.Array(["a", "b"]), ak.Array([1, None])]
)
def test_keys_are_integers(column):
    with pytest.raises(KeyMatchError, match="`k` is not one integer per event"):
        as_keys(column, "k")


@pytest.mark.parametrize(
    ("friend", "made", "message", "hint", "key"),
    [
        ({"y": np.arange(7.0)}, {}, "source `friend` has 7 entries, `main` has 6, and they are joined one by one", "by: [run", ""),
        ({"y": np.arange(6.0)}, {"by": BY}, "source `friend` has no branch `run`, a key of the join with `friend`", "branches: y", "friend.by"),
        ({"evt": np.arange(6)}, {"by": {"evnt": "evt"}}, "source `main` has no branch `evnt`, a key", "`event`", "friend.by"),
        ({"evt": np.arange(6.0)}, {"by": {"event": "evt"}}, "source `friend`: branch `evt` is not one integer per event", "use integers", "friend.by"),
        ({"evt": np.arange(6)}, {"by": {"Jet_pt": "evt"}}, "source `main`: branch `Jet_pt` is not one integer per event", "use integers", "friend.by"),
        ({"y": np.arange(6.0)}, {"params": {"tree": "dir/Frend"}}, "source `friend`: no tree `dir/Frend`", "`dir/Friend`", "friend.tree"),
        ({"y": np.arange(6.0)}, {"files": "none/{name}"}, "/none/a.root: no such file", "", ""),
    ],
)  # fmt: skip
def test_what_cannot_be_joined_is_refused_when_headers_are_read(tmp_path, friend, made, message, hint, key):
    path = write(tmp_path / "a.root", content(6))
    write(path, friend, "dir/Friend")
    (header,) = read_headers([str(path)], source(join(**made)))
    assert message in header.problem
    assert hint in str(header.hint)
    assert header.key == key


def test_a_header_is_read_again_if_a_friend_changes(tmp_path):
    data = content(6)
    path = write(tmp_path / "a.root", data)
    made = source(join("F", files="friends/{name}"))
    (header,) = read_headers([str(path)], made, cache=tmp_path / "cache")
    assert "no such file" in header.problem
    write(tmp_path / "friends/a.root", {"y": np.arange(6.0)}, "F")
    (first,) = read_headers([str(path)], made, cache=tmp_path / "cache")
    assert not first.problem
    assert read_headers([str(path)], made, cache=tmp_path / "cache")[0] == first
    (tmp_path / "friends/a.root").unlink()
    write(tmp_path / "friends/a.root", {"z": np.arange(6.0)}, "F")
    (second,) = read_headers([str(path)], made, cache=tmp_path / "cache")
    assert "z" in second.branches.found
    assert "y" not in second.branches.found
    assert second.uuid != first.uuid
    (alone,) = read_headers([str(path)], PlanSource(params={"tree": "Events"}), cache=tmp_path / "cache")
    assert "z" not in alone.branches.found


def test_only_the_clusters_of_the_events_are_read(tmp_path, monkeypatch):
    data = content()
    path = write(tmp_path / "a.root", data)
    write(path, chosen(data, np.arange(EVENTS)[::-1], **FRIEND), "dir/Friend", 10)
    file = open_file(str(path), source(join(by=BY_EVT)))
    asked = []
    gathered = joined_rows.gathered

    def watched(friend, branches, rows, valid=None):
        monkeypatch.setattr(friend, "read", lambda *a, read=friend.read: asked.append(a) or read(*a))
        return gathered(friend, branches, rows, valid)

    file.read(["y"], 0, 1)  # makes the index
    monkeypatch.setattr(joined_file, "gathered", watched)
    file.read(["y", "Jet_twice"], 0, 12)
    assert [(first, last) for _, first, last in asked] == [(70, 80), (80, 90)]
    assert all(set(branches) == {"y", "Jet_twice"} for branches, *_ in asked)
    assert file.branch_bytes(["y", "m.x"], 0, 12).keys() == {"y", "m.x"}
    assert file.branch_bytes(["y"], 0, EVENTS)["y"] > file.branch_bytes(["y"], 0, 12)["y"] > 0


def test_an_index_is_made_once_per_friend_file(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(joined_file, "_INDICES", KeyIndices())
    monkeypatch.setattr(joined_file, "KeyIndex", lambda *a: made.append(a) or KeyIndex(*a))
    data = content()
    write(tmp_path / "all.root", chosen(data, np.arange(EVENTS)[::-1], **FRIEND), "F")
    common = source(join("F", files="all.root", by=BY_EVT))
    files = OpenFiles(limit=1)
    for number in range(3):
        part = {name: column[30 * number : 30 * number + 30] for name, column in data.items()}
        path = str(write(tmp_path / f"{number}.root", part))
        found = read_fields(files.get(path, common), common, ["y"], 0, 30)
        assert found["y"].tolist() == (2 * data["x"][30 * number : 30 * number + 30]).tolist()
    assert len(made) == 1


def test_indices_are_forgotten_beyond_the_limit():
    indices = KeyIndices(limit=3000)
    made = []

    def get(name):
        return indices.get((name,), lambda: made.append(name) or KeyIndex(["k"], [np.arange(50)]))

    for name in "abab":
        get(name)
    assert made == ["a", "b"]
    get("c")
    get("b")
    get("a")
    assert made == ["a", "b", "c", "a"]


def test_reading_ahead_ignores_local_files(tmp_path):
    data = content(6)
    path = write(tmp_path / "a.root", data)
    write(path, chosen(data, np.arange(6), **FRIEND), "dir/Friend")
    made = source(join(by=BY_EVT))
    prefetch_fields(open_file(str(path), made), made, ["y", "m.x", "none"], 0, 6)


@pytest.mark.parametrize(
    ("path", "template", "expected"),
    [
        ("/data/in/a.root", "../friends/{name}", "/data/friends/a.root"),
        ("/data/in/a.b.root", "{stem}_f.root", "/data/in/a.b_f.root"),
        ("/data/in/a.root", "/other/{folder}/{name}", "/other/in/a.root"),
        ("/data/in/a.root", "root://host//f/{name}", "root://host//f/a.root"),
        ("root://host:1094//store/in/a.root", "../friends/{name}", "root://host:1094//store/friends/a.root"),
        ("root://host//store/in/a.root?authz=x", "../{stem}.parquet", "root://host//store/a.parquet"),
        ("https://host/store/in/a.root", "f/{name}", "https://host/store/in/f/a.root"),
        ("/data/in/none", "{stem}.{folder}", "/data/in/none.in"),
        ("/data/{name}/{stem}.root", "{name}.{stem}", "/data/{name}/{stem}.root.{stem}"),
    ],
)
def test_the_file_beside_a_file(path, template, expected):
    assert join(files=template).path_beside(path) == expected
    assert join().path_beside(path) == path


def test_no_file_stays_open_when_one_cannot_be_joined(tmp_path):
    path = write(tmp_path / "a.root", content(6))
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        with pytest.raises(InputFileError):
            open_file(str(path), source(join()))
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 1


def test_types_do_not_depend_on_the_order_of_friends(tmp_path):
    path = tmp_path / "a.root"
    matrix = np.arange(60.0).reshape(10, 3, 2)
    with uproot.recreate(path) as file:
        out = file.mktree(
            "F", {"m": np.dtype(("f8", (3, 2))), "v": np.dtype(("i4", (2,))), "x": "f4", "w": "var * int16"}
        )
        lists = ak.unflatten(np.arange(20, dtype=np.int16), np.arange(10) % 5)
        out.extend({"m": matrix, "v": matrix[:, 0].astype("i4"), "x": matrix[:, 0, 0].astype("f4"), "w": lists})
    file = open_file(str(path), PlanSource(params={"tree": "F"}))
    names = ["m", "v", "x", "w"]
    for order in (np.arange(10), np.arange(10)[::-1], np.arange(3, 4)):
        found = joined_rows.gathered(file, names, order)
        assert ak.to_list(found["m"]) == matrix[order].tolist()
        assert ak.to_list(found["w"]) == ak.to_list(lists[order])
        types = [str(ak.type(ak.Array(found[name])).content) for name in names]
        assert types == ["var * var * float64", "var * int32", "float32", "var * int16"]


def test_large_clusters_are_read_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(joined_rows, "LARGE", 10)
    data = content(80)
    file = open_file(str(write(tmp_path / "a.root", data, cluster=35)), PlanSource(params={"tree": "Events"}))
    asked = []
    read = file.read
    monkeypatch.setattr(file, "read", lambda names, *span: asked.append(span) or read(names, *span))
    rows = np.array([79, 2, 36, 34])
    assert joined_rows.gathered(file, ["x"], rows)["x"].tolist() == data["x"][rows].tolist()
    assert asked == [(0, 10), (30, 35), (35, 45), (70, 80)]


def test_rows_in_any_order_are_gathered(tmp_path):
    data = content()
    path = write(tmp_path / "a.root", data, cluster=7)
    file = open_file(str(path), PlanSource(params={"tree": "Events"}))
    chooser = random.Random(4)
    for size in (0, 1, 3, 20, 200):
        rows = np.array([chooser.randrange(EVENTS) for _ in range(size)], np.int64)
        found = joined_rows.gathered(file, ["x", "Jet_pt"], rows)
        assert found["x"].tolist() == data["x"][rows].tolist()
        assert ak.to_list(found["Jet_pt"]) == ak.to_list(data["Jet_pt"][rows])
