"""What input files have and lack: each number is that of its own file, or its name is refused before anything starts."""

from __future__ import annotations

import json
from collections import Counter

import awkward as ak
import numpy as np
import pytest
import uproot

from fasthep_parsl.errors import ConfigError


def write_tree(path, data, tree="Events"):
    path.parent.mkdir(parents=True, exist_ok=True)
    update = uproot.update if path.exists() else uproot.recreate
    with update(path) as file:
        types = {
            name: array.dtype if isinstance(array, np.ndarray) else str(ak.type(array).content)
            for name, array in data.items()
        }
        file.mktree(tree, types).extend(data)
    return path


def hist(flow, name, source, **more):
    axis = {"name": "x", "source": source, "bins": {"nbins": 10, "low": 0, "high": 10}, **more}
    if more.get("type") == "category":
        del axis["bins"]
    return flow.stage(name, "hep.hist", [], axes=[axis])


def counts(flow, stage):
    """Return category or bin → entries of the histogram of a stage, empty ones left out."""
    content = json.loads((flow.folder / "run" / "results" / stage / "hist.json").read_text())
    axis, values = content["axes"][0], content["storage"]["values"]
    inner = values[1:-1] if axis["type"] == "regular" else values
    return {i: v for i, v in zip(axis.get("categories") or range(len(inner)), inner, strict=False) if v}


def complaints(flow):
    with pytest.raises(ConfigError) as caught:
        flow.compile()
    return [(problem.key, problem.message, str(problem.hint)) for problem in caught.value.problems]


@pytest.mark.parametrize("chunk", [None, 3])
def test_a_default_has_the_type_of_the_branch(flow, chunk):
    n = 10
    have = {
        "hlt": np.arange(n) % 3 == 0,
        "bits": np.full(n, 5, np.uint8),
        "f": np.full(n, 2, np.float32),
        "t": ak.Array(["a"] * n),
        "x": np.arange(n) * 1.0,
    }
    files = [write_tree(flow.folder / "1.root", have), write_tree(flow.folder / "2.root", {"x": have["x"]})]
    fields = {
        name: {"branch": name, "default": value} for name, value in (("hlt", 0), ("bits", 0), ("f", 1), ("t", "b"))
    }
    stages = [
        flow.stage("S", "hep.select", selection=["(hlt & (x >= 0)) | ((bits & 4) == 0)"]),
        flow.stage("X", "hep.hist", ["S"], axes=[{"name": "x", "source": "x", "bins": {"nbins": 10, "low": 0, "high": 10}}]),
        *(hist(flow, name.upper(), name, type="category") for name in fields),
    ]  # fmt: skip
    result = flow.write(stages, files, fields=fields).run(chunk_size=chunk)
    assert result.exit_code == 0
    assert sum(counts(flow, "X").values()) == 4 + n
    assert counts(flow, "HLT") == {"False": 6 + n, "True": 4}
    assert counts(flow, "BITS") == {"0": n, "5": n}
    assert counts(flow, "F") == {"1.0": n, "2.0": n}
    assert counts(flow, "T") == {"a": n, "b": n}


@pytest.mark.parametrize(("default", "words"), [(2, "true or false"), (0.5, "true or false"), ("no", "numbers")])
def test_a_default_that_does_not_fit_is_refused(flow, default, words):
    files = [
        write_tree(flow.folder / "1.root", {"hlt": np.ones(3, bool), "x": np.ones(3)}),
        write_tree(flow.folder / "2.root", {"x": np.ones(3)}),
    ]
    flow.write([hist(flow, "X", "x")], files, fields={"hlt": {"branch": "hlt", "default": default}})
    ((key, message, _),) = complaints(flow)
    assert key == "fields.hlt.default"
    assert f"does not fit branch `hlt`, which has {words}" in message


def test_values_are_those_of_their_own_file(flow):
    files = [
        write_tree(flow.folder / "1.root", {"x": np.array([1, 2], np.uint8), "l": ak.Array([[1, 1], [2]])}),
        write_tree(flow.folder / "2.root", {"x": np.array([2.5, 7.5]), "l": ak.Array([[3.5], []])}),
    ]
    result = flow.write([hist(flow, "X", "x - 1"), hist(flow, "L", "l")], files).run()
    assert result.exit_code == 0
    assert counts(flow, "X") == {0: 1, 1: 2, 6: 1}
    assert counts(flow, "L") == {1: 2, 2: 1, 3: 1}


def test_a_list_here_and_a_number_there_is_refused_where_it_is_used(flow):
    files = [
        write_tree(flow.folder / "1.root", {"x": np.ones(2), "y": np.ones(2), "z": ak.Array(["1", "2"])}),
        write_tree(flow.folder / "2.root", {"x": ak.Array([[1.0], []]), "y": np.ones(2), "z": np.ones(2)}),
    ]
    assert flow.write([hist(flow, "Y", "y")], files).run().exit_code == 0
    found = complaints(flow.write([hist(flow, "X", "x + 1"), hist(flow, "Z", "z")], files))
    assert [key for key, _, _ in found] == [f"analysis.stages[{i}].params.axes[0].source" for i in (0, 1)]
    assert "branch `x` is one number per event, but a list of numbers per event in 2.root" in found[0][1]
    assert "branch `z` is one text per event, but one number per event in 2.root" in found[1][1]


def test_names_that_no_expression_takes_are_given_others(flow):
    names = ["jet-pt", "x{3}", "2nd", "p.class", "a b", "end."]
    values = {name: np.array([float(i)]) for i, name in enumerate(names)}
    file = write_tree(flow.folder / "1.root", values)
    wanted = dict(zip(names, ["jet_pt", "x_3", "_2nd", "p_class", "a_b", "end"], strict=True))
    found = complaints(flow.write([hist(flow, f"H{i}", name) for i, name in enumerate(names)], [file]))
    assert len(found) == len(names)
    for (_, _, hint), (name, other) in zip(found, wanted.items(), strict=True):
        assert f"fields: {{{other}: {{branch: " in hint, name
        assert name in hint
    stages = [hist(flow, f"H{i}", other) for i, other in enumerate(wanted.values())]
    fields = {other: {"branch": name} for name, other in wanted.items()}
    assert flow.write(stages, [file], fields=fields).run().exit_code == 0
    assert [counts(flow, f"H{i}") for i in range(len(names))] == [{i: 1} for i in range(len(names))]


def test_what_cannot_be_a_field_says_why(flow, data_files):
    def of(name, tree="tree", **fields):
        flow.write([hist(flow, "X", name)], [data_files / "leaf-list.root"], fields=fields)
        content = json.loads(flow.path.read_text())
        content["sources"]["events"]["tree"] = tree
        flow.path.write_text(json.dumps(content))
        return flow

    ((key, message, hint),) = complaints(of("leaflist"))
    assert key == "analysis.stages[0].params.axes[0].source"
    assert message == "leaf-list.root: branch `leaflist` is a record"
    assert "`leaflist.x`" in hint
    ((key, message, _),) = complaints(of("p", p={"branch": "leaflist"}))
    assert key == "fields.p.branch"
    assert message == "leaf-list.root: branch `leaflist` is a record"
    assert of("leaflist.x + leaflist.y").run().exit_code == 0
    with uproot.open(data_files / "leaf-list.root") as file:
        array = file["tree"]["leaflist"].array()
    expected = np.histogram(ak.to_numpy(array["x"] + array["y"]), 10, (0, 10))[0]
    assert counts(flow, "X") == {i: v for i, v in enumerate(expected) if v}
    assert of("y", y={"branch": "leaflist.y"}).compile()


@pytest.mark.parametrize("key", ["tree", "defaults"])
def test_a_dataset_has_a_tree_of_its_own(flow, key):
    path = write_tree(flow.folder / "a.root", {"x": np.full(3, 1.0)})
    write_tree(path, {"x": np.full(4, 5.0)}, "Up")
    write_tree(path, {"x": np.full(5, 7.0)}, "dir/Down")
    own = {"tree": ["dir/Down"]}
    datasets = [
        {"name": "nominal", "files": [str(path)], "tree": "Events"},
        {"name": "up", "files": [str(path)], "tree": "Up"},
        {"name": "down", "files": [str(path)], **(own if key == "tree" else {})},
    ]
    defaults = own if key == "defaults" else {}
    stage = flow.stage("X", "hep.hist", [], dataset_axis=True, axes=[
        {"name": "x", "source": "x", "bins": {"nbins": 10, "low": 0, "high": 10}}])  # fmt: skip
    flow.write([stage], data={"datasets": datasets, "defaults": defaults})
    plan = flow.compile()
    assert [dataset.entries for dataset in plan.datasets] == [3, 4, 5]
    assert flow.run().exit_code == 0
    content = json.loads((flow.folder / "run" / "results" / "X" / "hist.json").read_text())
    values = np.array(content["storage"]["values"]).reshape(12, -1)
    assert values[1 + np.array([1, 5, 7]), [0, 1, 2]].tolist() == [3, 4, 5]
    assert values.sum() == 12


@pytest.mark.parametrize("key", ["treename", "tree_name", "Tree", "objectPath"])
def test_other_words_for_the_tree_are_no_free_metadata(flow, key):
    path = write_tree(flow.folder / "a.root", {"x": np.ones(3)})
    flow.write([hist(flow, "X", "x")], data={"datasets": [{"name": "d", "files": [str(path)], key: "Up"}]})
    ((_, message, hint),) = complaints(flow)
    assert message.startswith(f"unknown key `{key}`")
    assert "tree" in hint


def test_a_wrong_tree_of_a_dataset_is_said(flow):
    path = write_tree(flow.folder / "a.root", {"x": np.ones(3)})
    dataset = {"name": "d", "files": [str(path)], "tree": "Evnts"}
    ((_, message, hint),) = complaints(flow.write([hist(flow, "X", "x")], data={"datasets": [dataset]}))
    assert "no tree `Evnts`" in message
    assert "`Events`" in hint
    ((_, message, _),) = complaints(
        flow.write([hist(flow, "X", "x")], data={"datasets": [dataset]}, sources={"events": {"kind": "parquet"}})
    )
    assert message == "source `parquet` has no `tree`"


def test_cycles_of_a_tree_are_different_trees(flow):
    path = write_tree(flow.folder / "a.root", {"x": np.full(3, 1.0)})
    write_tree(path, {"x": np.full(4, 5.0)})

    def of(*trees):
        datasets = [{"name": f"d{i}", "files": [str(path)], **tree} for i, tree in enumerate(trees)]
        return flow.write([hist(flow, "X", "x")], data={"datasets": datasets})

    assert [d.entries for d in of({}, {"tree": "Events;1"}).compile().datasets] == [4, 3]
    assert of({}, {"tree": "Events;1"}).run().exit_code == 0
    assert counts(flow, "X") == {1: 3, 5: 4}
    ((key, message, _),) = complaints(of({}, {"tree": "Events;2"}))
    assert key == "data.datasets[1].files[0]"
    assert message == "tree `Events` of `a.root` is also in dataset `d0`"


@pytest.mark.parametrize(
    ("source", "tree", "same"),
    [
        ("up/T;2", "up/T", True),
        ("up/T", "up;1/T;2", True),
        ("up;1/T", "/up//T/", True),
        ("up;1/T", "up;1/U", False),
        ("up/T;2", "up/T;1", False),
        ("up/T/", "up/U", False),
    ],
)
def test_every_spelling_of_a_tree_is_recognised(flow, source, tree, same):
    path = flow.folder / "a.root"
    for name, events in (("up/T", 3), ("up/T", 4), ("up/U", 5)):
        write_tree(path, {"x": np.ones(events)}, name)
    datasets = [{"name": "one", "files": [str(path)]}, {"name": "two", "files": [str(path)], "tree": tree}]
    sources = {"events": {"kind": "root_tree", "tree": source}}
    made = flow.write([hist(flow, "X", "x")], data={"datasets": datasets}, sources=sources)
    if same:
        ((key, message, _),) = complaints(made)
        assert (key, message) == ("data.datasets[1].files[0]", "tree `up/T` of `a.root` is also in dataset `one`")
    else:
        assert [d.entries for d in made.compile().datasets] == [4, 3 if tree.endswith(";1") else 5]


def test_objects_that_cannot_be_read_are_refused_where_they_are_used(flow):
    path = write_tree(flow.folder / "a.root", {"x": np.arange(300.0), "t": ak.Array([f"{i:05}" for i in range(300)])})
    with uproot.open(path) as file:
        start = file["Events"]["t"].member("fBasketSeek")[0]
    content = bytearray(path.read_bytes())
    content[start + 120 : start + 220] = bytes(100)
    path.write_bytes(content)
    assert flow.write([hist(flow, "X", "x")], [path]).compile()
    ((key, message, _),) = complaints(flow.write([hist(flow, "T", "t", type="category")], [path]))
    assert key == "data.datasets[0].files[0]"
    assert message.startswith("a.root: branch `t` of events 0–1 cannot be read")


def test_lists_of_texts_and_of_lists_are_filled_item_by_item(flow, data_files):
    names = {
        "vector_string": "category",
        "vector_vector_string": "category",
        "vector_vector_int32": "int",
        "set_int32": "int",
        "vector_set_int32": "int",
        "set_string": "category",
        "vector_set_string": "category",
    }
    stages = [hist(flow, name, name, type=kind) for name, kind in names.items()]
    for stage in stages:
        stage["params"]["axes"][0].pop("bins", None)
    flow.write(stages, [data_files / "containers.root"], sources={"events": {"kind": "root_tree", "tree": "tree"}})
    assert flow.run().exit_code == 0
    with uproot.open(data_files / "containers.root") as file:
        values = {name: file["tree"][name].array().to_list() for name in names}
    for name in names:
        assert counts(flow, name) == Counter(_items(values[name])), name


def _items(values):
    return [item for value in values for item in (_items(value) if isinstance(value, list) else [value])]
