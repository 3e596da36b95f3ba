import hashlib
import pickle
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot

from fasthep_parsl.errors import OpError
from fasthep_parsl.interfaces import Context, DatasetInfo
from fasthep_parsl.ops.expressions import expression
from fasthep_parsl.ops.stream import Events
from fasthep_parsl.ops.write import WrittenFile, WrittenFiles, merge_written_files, write

SCHEMA = {
    "run": (),
    "nMuon": (),
    "Muon_pt": ("nMuon",),
    "Muon_charge": ("nMuon",),
    "Muon_hits": ("nMuon[x]",),
    "weights": ("nweights",),
}


def call(events, outdir, partition="dy-0", **params):
    dataset = DatasetInfo("dy")
    context = Context("Skim", dataset, (dataset,), partition, Path(outdir))
    values = write.op.params(**params)
    return write(events, context=context, params=values)


def analyse(**params):
    return write.op.analyse(write.op.params(**params), SCHEMA)


def stream():
    return Events(
        {
            "run": np.array([1, 2, 3, 4], np.uint32),
            "nMuon": np.array([2, 0, 1, 3], np.int32),
            "Muon_pt": ak.unflatten(np.arange(6, dtype=np.float32), [2, 0, 1, 3]),
            "Muon_charge": ak.unflatten(np.array([1, -1, 1, 1, -1, 1], np.int32), [2, 0, 1, 3]),
            "weights": ak.unflatten(np.arange(5, dtype=np.float64), [1, 1, 0, 3]),
            "good": np.array([True, False, True, True]),
        },
        4,
    )


def read(path, tree="Events"):
    if path.suffix == ".parquet":
        return ak.from_parquet(path)
    with uproot.open(path) as file:
        return file[tree].arrays()


@pytest.mark.parametrize("kind", ["parquet", "root"])
@pytest.mark.parametrize("keep", [slice(0, 4), np.array([3, 0]), slice(0, 0)])
def test_what_is_written_can_be_read_back(kind, keep, tmp_path):
    if kind == "parquet":
        pytest.importorskip("pyarrow")
    events = stream()[keep]
    manifest = call(events, tmp_path, format=kind)
    (file,) = manifest.files
    path = tmp_path / file.path
    back = read(path)
    for name in events:
        assert ak.to_list(back[name]) == ak.to_list(events[name])
        primitive = str(ak.type(events[name])).split("* ")[-1]
        assert primitive in str(ak.type(back[name])), name
    assert (file.path, file.dataset, file.events) == (f"dy-0.{kind}", "dy", len(events))
    assert file.bytes == path.stat().st_size
    assert file.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert [item.name for item in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("keep", [slice(0, 4), slice(0, 0)])
def test_root_collections_share_a_counter(keep, tmp_path):
    call(stream()[keep], tmp_path, format="root", fields=["Muon_*", "weights"], tree="t")
    with uproot.open(tmp_path / "dy-0.root") as file:
        tree = file["t"]
        assert set(tree.keys()) == {"nMuon", "Muon_pt", "Muon_charge", "nweights", "weights"}
        assert tree["Muon_pt"].count_branch.name == tree["Muon_charge"].count_branch.name == "nMuon"
        assert tree.num_entries == len(stream()[keep])


def test_a_file_with_a_counter_per_branch_can_be_written(tmp_path):
    counters = {name: stream().nMuon for name in ("nMuon_pt", "nMuon_charge")}
    events = stream().with_columns(counters | {"Muon_pt_raw": stream().Muon_pt})
    call(events, tmp_path, format="root")
    back = read(tmp_path / "dy-0.root")
    assert back["Muon_pt_raw"].tolist() == back["Muon_pt"].tolist() == events.Muon_pt.tolist()


def test_fields_path_name_and_compression(tmp_path):
    pytest.importorskip("pyarrow")
    manifest = call(
        stream(),
        tmp_path / "unused",
        format="parquet",
        fields=["run", "good"],
        path=str(tmp_path / "skims"),
        name="{stage}_{partition}",
        compression="none",
    )
    assert manifest.files[0].path == str(tmp_path / "skims" / "Skim_dy-0.parquet")
    assert read(Path(manifest.files[0].path)).fields == ["run", "good"]


def test_missing_values_are_refused_in_root_and_nothing_is_left(tmp_path):
    events = Events({"x": ak.Array([1.0, None])}, 2)
    with pytest.raises(OpError, match="fill_none"):
        call(events, tmp_path, format="root")
    assert list(tmp_path.iterdir()) == []


def test_what_could_be_missing_but_is_not_goes_into_root(tmp_path):
    pt = ak.Array([[30.0, 20.0], [10.0]])
    columns = {
        "lead": expression("leading(Muon_pt)")({"Muon_pt": pt}),
        "Muon_x": expression("Muon_pt - leading(Muon_pt)")({"Muon_pt": pt}),
    }
    columns |= {"gone": ak.Array([[1], None])[:1][[0, 0]], "nMuon": np.array([2, 1])}
    manifest = call(Events(columns, 2), tmp_path, format="root")
    found = read(tmp_path / manifest.files[0].path)
    assert found.lead.to_list() == [30.0, 10.0]
    assert found.Muon_x.to_list() == [[0.0, -10.0], [0.0]]
    assert found.gone.to_list() == [[1], [1]]


def test_a_field_of_other_objects_than_its_counter_is_refused(tmp_path):
    events = stream().with_columns({"Muon_x": ak.Array([[1.0], [], [], []])})
    with pytest.raises(OpError, match="Muon_x"):
        call(events, tmp_path, format="root")


def test_without_pyarrow_the_message_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(OpError, match=r"pip install 'fasthep-parsl\[parquet\]"):
        call(stream(), tmp_path, format="parquet")


def test_manifests_merge_in_any_grouping():
    a, b, c = (WrittenFiles("root", (WrittenFile(f"dy-{i}.root", "dy", i, 10, "0"),)) for i in (2, 0, 1))
    left, right = merge_written_files(merge_written_files(a, b), c), merge_written_files(a, merge_written_files(b, c))
    assert left == right
    assert [file.path for file in left.files] == ["dy-0.root", "dy-1.root", "dy-2.root"]
    assert merge_written_files(left, a) == left


def test_effects():
    assert analyse(format="parquet").keeps_all
    effects = analyse(format="root", fields=["run", "Muon_p*"])
    assert effects.problems == ()
    assert not effects.keeps_all
    assert effects.reads == {"run": ("fields", 0), "Muon_pt": ("fields", 1), "nMuon": ("fields", 1)}
    assert analyse(format="parquet", fields=["rum"]).reads == {"rum": ("fields", 0)}


@pytest.mark.parametrize(
    ("params", "path"),
    [
        ({"format": "root", "fields": ["Jet_*"]}, ("fields", 0)),
        ({"format": "root", "fields": ["Muon_hits"]}, ("fields", 0)),
        ({"format": "root", "compression": "snappy"}, ("compression",)),
        ({"format": "parquet", "compression": "lzma"}, ("compression",)),
        ({"format": "parquet", "name": "skim"}, ("name",)),
        ({"format": "parquet", "name": "{partition}_{datset}"}, ("name",)),
        ({"format": "parquet", "name": "a/{partition}"}, ("name",)),
    ],
)
def test_problems(params, path):
    assert [problem.path for problem in analyse(**({"fields": ["run"]} | params)).problems] == [path]


def test_op_is_a_sink_that_sees_each_partition_alone():
    assert write.op.per_partition
    assert not write.op.stream
    assert write.op.product == "manifest"
    assert pickle.loads(pickle.dumps(write)) is write


DTYPES = (
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "float32",
    "float64",
)


def extremes(name):
    dtype = np.dtype(name)
    if dtype.kind in "iu":
        return np.array([np.iinfo(dtype).min, 7, np.iinfo(dtype).max], dtype)
    return (
        np.array([True, False, True]) if dtype.kind == "b" else np.array([np.nan, -np.inf, np.finfo(dtype).max], dtype)
    )


STRUCTURES = {
    "flat": lambda v: v,
    "strided": lambda v: np.repeat(v, 2)[::2],
    "swapped": lambda v: v.astype(v.dtype.newbyteorder(">")),
    "matrix": lambda v: np.stack([v, v[::-1]], axis=1),
    "lists": lambda v: ak.unflatten(np.concatenate([v, v]), [2, 0, 4]),
    "indexed": lambda v: ak.unflatten(np.concatenate([v, v]), [2, 0, 4])[[2, 0, 1]],
    "regular": lambda v: ak.to_regular(ak.Array(np.stack([v, v], axis=1))),
    "lists of lists": lambda v: ak.unflatten(ak.unflatten(np.concatenate([v, v]), [2, 0, 3, 0, 1]), [2, 0, 3]),
    "missing": lambda v: ak.mask(ak.Array(v), [True, False, True]),
    "missing lists": lambda v: ak.mask(ak.unflatten(v, [2, 0, 1]), [True, False, True]),
    "missing in lists": lambda v: ak.unflatten(ak.mask(ak.Array(v), [True, False, True]), [2, 0, 1]),
}
NOT_IN_ROOT = {"lists of lists", "missing", "missing lists", "missing in lists"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["parquet", "root"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("structure", STRUCTURES)
def test_no_value_changes(kind, dtype, structure, tmp_path):
    if kind == "parquet":
        pytest.importorskip("pyarrow")
    column = STRUCTURES[structure](extremes(dtype))
    events = Events({"v": column}, 3)
    if kind == "root" and (structure in NOT_IN_ROOT or dtype == "float16"):
        with pytest.raises(
            OpError, match=r"`v` (has|is) .*, which cannot be written to ROOT trees: .*`format: parquet`"
        ):
            call(events, tmp_path, format=kind)
        assert list(tmp_path.iterdir()) == []
        return
    call(events, tmp_path, format=kind)
    back = read(tmp_path / f"dy-0.{kind}")["v"]
    native = ak.Array(np.ascontiguousarray(column, dtype)) if isinstance(column, np.ndarray) else column
    assert repr(ak.to_list(back)) == repr(ak.to_list(native))
    assert str(ak.type(back)).split("* ")[-1].strip("?]") == str(ak.type(native)).split("* ")[-1].strip("?]")


TEXTS = {
    "text": ak.Array(["a", "", "ü€"]),
    "numpy": np.array(["a", "", "ü€"]),
    "lists": ak.Array([["a", "b"], [], ["ü"]]),
    "missing": ak.Array(["a", None, "c"]),
}


@pytest.mark.parametrize("kind", ["parquet", "root"])
@pytest.mark.parametrize("case", TEXTS)
def test_text_is_written_as_it_is(kind, case, tmp_path):
    if kind == "parquet":
        pytest.importorskip("pyarrow")
    events = Events({"t": TEXTS[case]}, 3)
    if kind == "root" and case in ("lists", "missing"):
        with pytest.raises(OpError, match="`t` has"):
            call(events, tmp_path, format=kind)
        return
    call(events, tmp_path, format=kind)
    assert ak.to_list(read(tmp_path / f"dy-0.{kind}")["t"]) == TEXTS[case].tolist()
    call(events[np.zeros(3, bool)], tmp_path, "dy-1", format=kind)
    assert ak.to_list(read(tmp_path / f"dy-1.{kind}")["t"]) == []


@pytest.mark.parametrize(
    "column",
    [np.array([1j, 2, 3]), np.arange(3).astype("M8[s]"), ak.zip({"a": [1, 2, 3]}), np.array([b"a", b"b", b"c"])],
)
def test_what_no_tree_holds_is_named(column, tmp_path):
    with pytest.raises(OpError, match=r"`odd` (has|is) .* cannot be written to ROOT trees"):
        call(Events({"odd": column}, 3), tmp_path, format="root")


def test_parquet_without_pyarrow_is_said_in_the_plan(monkeypatch):
    from fasthep_parsl.ops import write as module

    monkeypatch.setattr(module, "find_spec", lambda _name: None)
    (problem,) = analyse(format="parquet").problems
    assert problem.path == ("format",)
    assert "fasthep-parsl[parquet]" in str(problem.hint)


@pytest.mark.parametrize("fields", [None, ["run*"]])
def test_columns_of_variations_are_not_written(fields, tmp_path):
    events = stream().with_columns({"run@jes_up": np.arange(4)})
    (file,) = call(events, tmp_path, format="root", fields=fields).files
    assert "run@jes_up" not in read(tmp_path / file.path).fields
