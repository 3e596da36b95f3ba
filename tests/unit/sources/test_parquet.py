"""Parquet columns of all types: equal to what pyarrow reads, or refused before a value is read."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fasthep_parsl.interfaces import TEXT, Branch, InputFileError
from fasthep_parsl.sources.parquet_file import ParquetFile

LISTS = [[1, 2], [], [3], None]
NUMBERS = {name: pa.array([0, 1, None, 1], getattr(pa, name)()) for name in
           ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64")}  # fmt: skip
USABLE = {
    **{name: (array, (), name) for name, array in NUMBERS.items()},
    "bool": (pa.array([True, None, False, True]), (), "bool"),
    "half": (pa.array(np.array([1.5, 2, 3, 4], np.float16)), (), "float32"),
    "text": (pa.array(["a", None, "", "b"]), (), TEXT),
    "large_text": (pa.array(["a", None, "", "b"], pa.large_string()), (), TEXT),
    "words": (pa.array(["a", None, "b", "b"]).dictionary_encode(), (), TEXT),
    "list": (pa.array(LISTS, pa.list_(pa.int16())), ("*",), "int16"),
    "large_list": (pa.array(LISTS, pa.large_list(pa.float64())), ("*",), "float64"),
    "fixed": (pa.array([[1, 2], [3, 4], [5, 6], [7, 8]], pa.list_(pa.float32(), 2)), ("*",), "float32"),
    "texts": (pa.array([["a", "bc"], [], ["d"], ["a"]]), ("*",), TEXT),
    "nested_words": (pa.array([["a", "b"], [], ["a"], ["a"]], pa.list_(pa.dictionary(pa.int8(), pa.string()))), ("*",), TEXT),
    "lists": (pa.array([[[1.0], [2.0, 3.0]], [], [[]], [[4.0]]]), ("*", "*"), "float64"),
    "with.dot": (pa.array([1, 2, 3, 4]), (), "int64"),
}  # fmt: skip
RECORDS = {
    "p": (pa.array([{"x": 1.0, "q": {"n": 1}}, {"x": 2.0, "q": {"n": 2}}, None, {"x": 4.0, "q": None}]), ["x", "q.n"]),
    "with": (pa.array([{"dot": 9}] * 4), ["dot"]),
    "hits": (pa.array([[{"t": 1, "w": "a"}], [], [{"t": 2, "w": "b"}] * 2, None]), ["t", "w"]),
    "map": (pa.array([[("a", 1)], [], [("b", 2), ("c", 3)], []], pa.map_(pa.string(), pa.int32())), ["key", "value"]),
}
REFUSED = {
    "decimal": (pa.array([Decimal("1.5")] * 4), "has decimal numbers"),
    "decimals": (pa.array([[Decimal("1.5")]] * 4), ""),
    "date": (pa.array([dt.date(2026, 1, 1)] * 4), "has dates"),
    "stamp": (pa.array([dt.datetime(2026, 1, 1)] * 4), "has dates"),
    "stamps": (pa.array([[dt.datetime(2026, 1, 1)]] * 4), "has dates"),
    "time": (pa.array([dt.time(1)] * 4), "has times"),
    "duration": (pa.array([dt.timedelta(1)] * 4), "has times"),
    "bytes": (pa.array([b"ab"] * 4), "has bytes"),
    "nothing": (pa.nulls(4), "has no type"),
}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("parquet") / "a.parquet"
    columns = {name: array for kinds in (USABLE, RECORDS, REFUSED) for name, (array, *_) in kinds.items()}
    pq.write_table(pa.table(columns), path, row_group_size=3)
    opened = ParquetFile(str(path))
    yield opened
    opened.close()


@pytest.mark.parametrize(("start", "stop"), [(0, 4), (0, 0), (1, 2), (2, 4), (3, 4)])
def test_values_are_those_of_arrow(file, start, stop):
    names = [name for name in USABLE if name != "with.dot"]
    read = file.read(names, start, stop)
    for name in names:
        assert ak.to_list(read[name]) == USABLE[name][0].to_pylist()[start:stop], name


def test_structure_and_type_are_known(file):
    found = file.branches().found
    for name, (_, shape, dtype) in USABLE.items():
        if name != "with.dot":
            assert found[name] == Branch(shape, dtype), name
    for name in ("half", "int8", "bool", "fixed"):
        column = file.read([name], 0, 2)[name]
        assert str(ak.type(column)).replace("?", "").split(" * ")[-1] == found[name].dtype


def test_members_of_records_are_fields(file):
    found = file.branches().found
    for name, (array, members) in RECORDS.items():
        assert found[name].problem.startswith("is a ")
        for member in members:
            assert f"`{name}.{member}`" in found[name].hint
        for member in members if name != "with" else ():
            expected = array.to_pylist()
            for part in member.split("."):
                expected = [_member(item, part) for item in expected]
            assert ak.to_list(file.read([f"{name}.{member}"], 0, 4)[f"{name}.{member}"]) == expected, (name, member)


def _member(item, name):
    if item is None:
        return None
    if isinstance(item, list):
        return [_member(inner, name) for inner in item]
    return item[("key", "value").index(name)] if isinstance(item, tuple) else item[name]


def test_a_column_with_a_dot_is_not_the_member_of_another(file):
    assert file.branches().found["with.dot"] == Branch((), "int64")
    assert file.read(["with.dot"], 0, 4)["with.dot"].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("name", REFUSED)
def test_what_nothing_can_be_computed_with_is_refused(file, name):
    branch = file.branches().found[name]
    assert branch.problem
    assert REFUSED[name][1] in branch.problem
    with pytest.raises(InputFileError, match=f"`{name}`"):
        file.read([name], 0, 1)


def test_two_columns_of_one_name_are_refused(tmp_path):
    pq.write_table(
        pa.table([pa.array([1]), pa.array([2]), pa.array([3])], names=["x", "x", "y"]), tmp_path / "a.parquet"
    )
    file = ParquetFile(str(tmp_path / "a.parquet"))
    assert file.branches().found["x"].problem == "is the name of 2 columns"
    assert file.read(["y"], 0, 1)["y"].tolist() == [3]
    file.close()


def test_a_file_without_events(tmp_path):
    pq.write_table(
        pa.table({"x": pa.array([], pa.float64()), "p": pa.array([], pa.struct({"a": pa.int8()}))}),
        tmp_path / "a.parquet",
    )
    file = ParquetFile(str(tmp_path / "a.parquet"))
    assert file.entries == 0
    assert file.branches().found["p.a"] == Branch((), "int8")
    assert len(file.read(["x"], 0, 0)["x"]) == 0
    file.close()


def test_bytes_of_members_are_counted(file):
    sizes = file.branch_bytes(["p.x", "lists"], 0, 4)
    assert sizes["p.x"] > 0
    assert file.branch_bytes(["p.x"], 0, 0) == {"p.x": 0}
