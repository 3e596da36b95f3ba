"""Stored chunks of streams are read unchanged, or refused."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from fasthep_parsl.driver.stream_chunks import halves_of, remaining
from fasthep_parsl.ops.stream import Events
from fasthep_parsl.worker.partials import StoreError, is_intact, load_parts, load_products, save_parts
from fasthep_parsl.worker.store import load_events, save_events
from fasthep_parsl.worker.sums import Part

JAGGED = ak.Array([[1.5, 2.5], [], [3.5]])
COLUMNS = {
    "float32": np.array([1, np.nan, np.inf], np.float32),
    "uint64": np.array([0, 2**64 - 1, 5], np.uint64),
    "bool": np.array([True, False, True]),
    "jagged": JAGGED,
    "jagged_bool": JAGGED > 2,
    "jagged_int8": ak.values_astype(JAGGED, np.int8),
    "option": ak.Array([1.0, None, 3.0]),
    "option_bool": ak.Array([True, None, False]),
    "all_missing": ak.Array([None, None, 1.0])[[0, 1, 0]],
    "jagged_option": ak.Array([[1, None], [], [None]]),
    "option_jagged": ak.Array([[1, 2], None, []]),
    "nested": ak.Array([[[1], []], [], [[2, 3]]]),
    "strings": ak.Array(["a", "", "ü"]),
    "record": ak.Array([[{"pt": 1.0, "n": 1}], [], [{"pt": 2.0, "n": 2}]]),
    "sliced": ak.Array([[9.0], [1.0, 2.0], [], [3.0]])[1:],
    "reordered": ak.Array([[1.0], [2.0, 3.0], []])[[2, 0, 1]],
    "regular": ak.Array(np.arange(6).reshape(3, 2)),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_survives(tmp_path, name):
    column = COLUMNS[name]
    ref = save_events(tmp_path / "s.npz", Events({name: column, "n": np.arange(3)}, 3), 0, [(0, 1)])
    again = load_events(ref, [name])[name]
    assert (
        ak.to_list(again) == pytest.approx(ak.to_list(column), nan_ok=True)
        if name == "float32"
        else (ak.to_list(again) == ak.to_list(column))
    )
    if isinstance(column, np.ndarray):
        assert isinstance(again, np.ndarray)
        assert again.dtype == column.dtype
    else:
        assert again.type == column.type


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_without_events_survives(tmp_path, name):
    column = COLUMNS[name][:0]
    ref = save_events(tmp_path / "s.npz", Events({name: column}, 0), 2, [(4, 9)])
    again = load_events(ref, [name])
    assert len(again) == len(again[name]) == 0
    assert ak.type(again[name]) == ak.type(column)
    assert (ref.events, ref.dataset, ref.partitions) == (0, 2, ((4, 9),))


def test_only_the_columns_asked_for_are_read(tmp_path):
    ref = save_events(tmp_path / "s.npz", Events(COLUMNS, 3), 0, [(0, 3)])
    assert load_events(ref, ["jagged", "bool"]).fields == ["jagged", "bool"]
    assert len(load_events(ref, [])) == 3
    with pytest.raises(StoreError, match="nothere"):
        load_events(ref, ["nothere"])


def test_a_filtered_stream_stores_only_what_is_left(tmp_path):
    events = Events({"x": np.arange(100_000), "j": ak.Array(np.ones((100_000, 3)).tolist()[:1000] * 100)}, 100_000)
    ref = save_events(tmp_path / "s.npz", events.filter(np.arange(100_000) < 2), 0, [(0, 1)])
    assert ref.events == 2
    assert ref.size < 5000
    assert load_events(ref, ["x"])["x"].tolist() == [0, 1]


def test_a_part_of_a_piece_has_its_events_only(tmp_path):
    events = Events(
        {"n": np.arange(6), "jagged": ak.Array([[0], [], [2, 2], [3], [], [5]])}, 6, np.repeat([4, 5, 6], 2)
    )
    ref = save_events(tmp_path / "s.npz", events, 0, [(4, 7)])
    left = remaining(halves_of(ref)[1], [(6, 7)])
    assert [part.partitions for part in left] == [((5, 6),)]
    found = load_events(left[0], ["n", "jagged"])
    assert (len(found), found["n"].tolist(), found.owners.tolist()) == (2, [2, 3], [5, 5])
    assert found["jagged"].tolist() == [[2, 2], [3]]


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "gone", "foreign"])
def test_what_is_not_what_was_written_is_refused(tmp_path, damage):
    ref = save_events(tmp_path / "s.npz", Events(COLUMNS, 3), 0, [(0, 3)])
    path = tmp_path / "s.npz"
    content = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
    else:
        content[len(content) // 2] ^= 1
        path.write_bytes({"flip": content, "cut": content[:100], "empty": b"", "foreign": b"PK nothing"}[damage])
    with pytest.raises(StoreError, match=r"s\.npz"):
        load_events(ref, ["bool"])


def test_nothing_half_written_is_left(tmp_path):
    path = tmp_path / "p.pkl"
    with pytest.raises(TypeError):
        save_parts(path, [Part(((0, 1),), {"A": (n for n in range(3))})])
    assert list(tmp_path.iterdir()) == []
    size = save_parts(path, [Part(((0, 1),), {"A": [1]})])
    assert load_products(path) == {"A": [1]}
    assert [path.name for path in tmp_path.iterdir()] == ["p.pkl"]
    assert is_intact(path, size)
    assert not is_intact(path, size + 1)
    assert not is_intact(tmp_path / "gone.pkl", size)


def test_parts_are_read_as_one_only_if_somebody_has_put_them_together(tmp_path):
    path = tmp_path / "p.pkl"
    parts = [Part(((0, 1),), {"A": [1]}), Part(((2, 3),), {"A": [3]})]
    save_parts(path, parts)
    assert load_parts(path) == parts
    with pytest.raises(StoreError, match="are not merged yet"):
        load_products(path)
    save_parts(path, parts, {"A": [1, 3]})
    assert load_parts(path) == parts
    assert load_products(path) == {"A": [1, 3]}


def test_a_single_changed_byte_is_seen(tmp_path):
    path = tmp_path / "p.pkl"
    size = save_parts(path, [Part(((0, 1),), {"A": [1.0] * 100})])
    content = path.read_bytes()
    for place in range(0, size, 7):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        assert not is_intact(path, size)
        with pytest.raises(StoreError):
            load_products(path)


@pytest.mark.parametrize("content", [b"", b"\x80\x05", b"nonsense", b"\x80\x05cno_such_module\nname\n."])
def test_products_that_cannot_be_read_are_refused(tmp_path, content):
    path = tmp_path / "p.pkl"
    with pytest.raises(StoreError):
        load_products(path)
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"p\.pkl"):
        load_products(path)
