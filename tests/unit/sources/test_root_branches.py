"""Branches of TTrees: structure and type are known before a value is read, and values equal uproot's."""

from __future__ import annotations

from types import SimpleNamespace

import awkward as ak
import numpy as np
import pytest
import uproot

from fasthep_parsl.interfaces import TEXT, Branch, InputFileError
from fasthep_parsl.plan import PlanSource
from fasthep_parsl.sources import root_tree
from fasthep_parsl.sources.files import open_file
from fasthep_parsl.sources.headers import read_headers
from fasthep_parsl.sources.root_file import open_tree
from fasthep_parsl.sources.root_names import Names

NUMBERS = ("bool", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)), "float32", "float64")


def depth_and_type(column):
    """Return how deep the lists of a column are, and the type of its values."""
    if isinstance(column, np.ndarray):
        return column.ndim - 1, column.dtype.name
    form, depth = column.layout.form, 0
    while not form.is_numpy:
        if form.parameter("__array__") == "string":
            return depth, TEXT
        depth += form.is_list
        form = form.content
    return depth + len(form.inner_shape), form.primitive


@pytest.fixture
def opened(data_files):
    files = []

    def open_one(name, tree="tree"):
        files.append(open_tree(str(data_files / name), tree))
        return files[-1]

    yield open_one
    for file in files:
        file.close()


def test_every_type_of_numbers(tmp_path):
    rng = np.random.default_rng(1)
    data = {name: rng.integers(0, 2 if name == "bool" else 100, 7).astype(name) for name in NUMBERS}
    data |= {f"l_{name}": ak.unflatten(data[name], [0, 3, 4]) for name in NUMBERS}
    data = {name: array[:3] for name, array in data.items()}
    data |= {f"m_{name}": rng.integers(0, 2, (3, 2, 4)).astype(name) for name in NUMBERS}
    with uproot.recreate(tmp_path / "a.root") as file:
        types = {
            name: str(ak.type(array).content)
            if isinstance(array, ak.Array)
            else np.dtype((array.dtype, array.shape[1:]))
            for name, array in data.items()
        }
        file.mktree("Events", types).extend(data)
    file = open_file(str(tmp_path / "a.root"), PlanSource(params={"tree": "Events"}))
    found = file.branches().found
    for name, array in data.items():
        column = file.read([name], 0, 3)[name]
        assert ak.to_list(column) == ak.to_list(array), name
        assert depth_and_type(column) == (len(found[name].shape), found[name].dtype), name
        dtype = name.rpartition("_")[2]
        depth = {"l": 1, "m": 2}.get(name.partition("_")[0], 0)
        assert found[name] == Branch(("*",) * depth, dtype), name
        assert not isinstance(column, np.ndarray) or column.dtype.isnative
    file.close()


def test_texts_of_equal_lengths_stay_texts(tmp_path):
    texts = {"a": ["ee", "mm", "em"], "b": ["16", "17", "16"], "c": ["x", "", "longer"]}
    with uproot.recreate(tmp_path / "a.root") as file:
        file.mktree("t", dict.fromkeys(texts, "string")).extend(texts)
    file = open_tree(str(tmp_path / "a.root"), "t")
    assert set(file.branches().found.values()) == {Branch((), TEXT, sure=False)}
    assert {name: ak.to_list(column) for name, column in file.read(texts, 0, 3).items()} == texts
    file.close()


def test_members_of_a_leaf_list_are_fields(opened):
    file = opened("leaf-list.root")
    found = file.branches().found
    assert found["leaflist.x"] == Branch((), "float64", sure=False)
    assert found["leaflist.y"] == Branch((), "int32", sure=False)
    assert found["leaflist"].problem == "is a record"
    assert "`leaflist.x`, `leaflist.y`" in found["leaflist"].hint
    with uproot.open(file.path) as reference:
        array = reference["tree"]["leaflist"].array()
    columns = file.read(["leaflist.x", "leaflist.z"], 1, 4)
    assert columns["leaflist.x"].tolist() == array["x"][1:4].tolist()
    assert columns["leaflist.z"].tolist() == array["z"][1:4].tolist()
    assert file.has("leaflist.x")
    assert not file.has("leaflist.w")
    with pytest.raises(InputFileError, match=r"no branch `leaflist\.w`"):
        file.read(["leaflist.w"], 0, 1)


def test_containers_of_containers(opened):
    file = opened("containers.root")
    found = file.branches().found
    with uproot.open(file.path) as reference:
        arrays = {branch.name: branch.array() for branch in reference["tree"].branches}
    usable = {name: branch for name, branch in found.items() if not branch.problem}
    assert usable["string"] == Branch((), TEXT, sure=False)
    assert usable["vector_string"] == Branch(("*",), TEXT, sure=False)
    assert usable["vector_vector_int32"] == usable["vector_set_int32"] == Branch(("*", "*"), "int32", sure=False)
    assert usable["map_int32_vector_int16.first"] == Branch(("*",), "int32", sure=False)
    assert usable["map_int32_vector_int16.second"] == Branch(("*", "*"), "int16", sure=False)
    assert found["map_int32_int16"].problem == "is a list of records"
    columns = file.read(usable, 0, file.entries)
    for name, branch in usable.items():
        top, _, rest = name.partition(".")
        expected = arrays[top]
        for member in filter(None, rest.split(".")):
            expected = expected[{"first": "0", "second": "1"}[member]]
        assert ak.to_list(columns[name]) == ak.to_list(expected), name
        assert depth_and_type(columns[name]) == (len(branch.shape), branch.dtype), name
    assert set(arrays) == {name.partition(".")[0] for name in found}


def write_trees(path, **trees):
    with uproot.recreate(path) as file:
        for name, values in trees.items():
            file.mktree(name.replace("__", "/"), {"x": "float64"}).extend({"x": np.array(values, float)})
    return str(path)


def values_of(path, tree):
    file = open_tree(path, tree)
    found = file.read(["x"], 0, file.entries)["x"].tolist()
    file.close()
    return found


def test_trees_in_folders_and_cycles(tmp_path):
    path = write_trees(tmp_path / "a:b.root", up__Events=[1.0], down__Events=[2.0])
    with uproot.update(path) as file:
        file.mktree("up/Events", {"x": "float64"}).extend({"x": np.array([3.0, 4.0])})
    assert values_of(path, "down/Events") == [2.0]
    assert values_of(path, "up/Events") == values_of(path, "up/Events;2") == [3.0, 4.0]
    assert values_of(path, "up/Events;1") == [1.0]
    for wrong, words in (("up", "`up` is a folder, not a tree"), ("Events", "no tree `Events`")):
        with pytest.raises(InputFileError, match=words) as caught:
            open_tree(path, wrong)
        assert "up/Events" in str(caught.value.hint)
    for wrong, hint in (
        ("up/Events;7", "has the cycles 1 and 2;"),
        ("down;1/Events;x", "`down/Events` has the cycle 1;"),
    ):
        with pytest.raises(InputFileError, match=f"no tree `{wrong}`") as caught:
            open_tree(path, wrong)
        assert hint in str(caught.value.hint)
    names = {
        name: open_tree(path, name).section for name in ("up;1/Events", "/up//Events/", "up/Events;2", "up/Events;1")
    }
    assert list(names.values()) == ["up/Events;2"] * 3 + ["up/Events;1"]


def test_something_else_is_no_tree(tmp_path):
    with uproot.recreate(tmp_path / "a.root") as file:
        file["h"] = np.histogram([1.0, 2.0])
    with pytest.raises(InputFileError, match="`h` is a TH1D, not a TTree or RNTuple"):
        open_tree(str(tmp_path / "a.root"), "h")


def test_two_branches_of_one_name_are_refused_by_name(tmp_path):
    path = tmp_path / "a.root"
    with uproot.recreate(path, compression=None) as file:
        types = {"twin_a": "float64", "twin_b": "float64", "x": "int32"}
        file.mktree("t", types).extend({name: np.arange(3).astype(dtype) for name, dtype in types.items()})
    path.write_bytes(path.read_bytes().replace(b"twin_b", b"twin_a"))
    file = open_tree(str(path), "t")
    found = file.branches().found
    assert found["twin_a"].problem == "is the name of 2 branches"
    assert found["x"] == Branch((), "int32")
    with pytest.raises(InputFileError, match="no branch `twin_a`"):
        file.read(["twin_a"], 0, 3)
    assert file.read(["x"], 0, 3)["x"].tolist() == [0, 1, 2]
    file.close()


def branch(name, *below):
    return SimpleNamespace(name=name, branches=list(below))


def test_members_of_several_objects_are_told_apart():
    vectors = [branch(f"lep{i}", branch("fCoordinates", branch("fCoordinates.fPt"))) for i in (0, 1)]
    event = branch("evt.", branch("evt.run"), branch("TObject", branch("fBits")), branch("n"))
    names = Names(branch("", *vectors, event, branch("n")))
    assert set(names.fields) == {
        "lep0.fCoordinates.fPt", "lep1.fCoordinates.fPt", "evt.run", "evt.TObject.fBits", "evt.n", "n",
    }  # fmt: skip
    assert names.find("lep1/fCoordinates/fCoordinates.fPt")[0].branch is vectors[1].branches[0].branches[0]
    assert names.find("n")[0].path == "n"
    assert names.find("fBits")[0].path == "evt./TObject/fBits"
    assert names.find("lep0.fCoordinates.fPt.x")[1] == "x"
    assert names.find("fCoordinates.fPt") is None
    assert names.find("gone") is None
    refused = names.refused["fCoordinates.fPt"]
    assert "2 branches" in refused.problem
    assert "branch: lep0/fCoordinates/fCoordinates.fPt" in refused.hint
    assert "`lep0.fCoordinates.fPt`" in names.of_split()["lep0"].hint


def test_one_odd_branch_is_left_out(opened, monkeypatch):
    file = opened("containers.root")
    before = file.branches().found

    def describe(name, uproot_branch):
        if name == "string":
            uproot_branch = SimpleNamespace(name=name)  # as what uproot makes of a class that it does not know
        return real(name, uproot_branch)

    real = root_tree.describe
    monkeypatch.setattr(root_tree, "describe", describe)
    after = file.branches().found
    assert after.pop("string").problem.startswith("cannot be read: AttributeError")
    before.pop("string")
    assert after == before


def test_a_file_in_which_nothing_can_be_read_is_no_crash(tmp_path, monkeypatch):
    path = write_trees(tmp_path / "a.root", t=[1.0])
    monkeypatch.setattr("fasthep_parsl.sources.root_tree.describe", lambda *_: 1 / 0)
    (header,) = read_headers([path], PlanSource(params={"tree": "t"}))
    assert header.problem == "the header cannot be read: ZeroDivisionError: division by zero"


def test_what_never_ends_names_its_branch(opened, monkeypatch):
    file = opened("containers.root")
    monkeypatch.setattr(root_tree, "TIME_LIMIT", 0.1)
    monkeypatch.setattr(root_tree, "SLOWEST", 1e12)
    branch = file._names.fields["vector_vector_int32"].branch

    def endless(*_, **__):
        while True:
            pass

    monkeypatch.setattr(type(branch), "array", endless)
    with pytest.raises(
        InputFileError, match="branch `vector_vector_int32` of events 0–5 cannot be read: it takes much longer"
    ):
        file.read(["vector_vector_int32"], 0, 5)


@pytest.mark.parametrize(("name", "tree"), [("containers.root", "tree"), ("same-members.root", "muonDataTree")])
def test_one_request_for_all_columns_yields_the_same(opened, monkeypatch, name, tree):
    file, remote = opened(name, tree), opened(name, tree)
    remote._local = False  # as if it were read from a server
    kind = type(remote._tree)
    arrays, asked = kind.arrays, []

    def spy(self, *, filter_branch, **options):
        asked.extend(b.name for b in self.itervalues(recursive=True) if filter_branch(b))
        return arrays(self, filter_branch=filter_branch, **options)

    monkeypatch.setattr(kind, "arrays", spy)
    with uproot.open(file.path) as reference:
        places = file._names.fields
        usable = [key for key, branch in file.branches().found.items() if not branch.problem]
        here, there = file.read(usable, 0, file.entries), remote.read(usable, 0, file.entries)
        for key in usable:
            assert ak.to_list(here[key]) == ak.to_list(there[key]), key
            if key in places:
                expected = reference[tree]["/" + places[key].path].array()
                assert ak.to_list(here[key]) == ak.to_list(expected), key
    own = [b.name for b in remote._tree.itervalues(recursive=True)]
    assert asked
    assert all(own.count(b) == 1 for b in asked)  # of several uproot takes the values of the first
