"""`Events`: filters cost nothing until a column is used, and give what awkward would give."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from fasthep_parsl.errors import OpError
from fasthep_parsl.ops.stream import Events

PT = ak.Array([[1.0, 2.0], [], [3.0], [4.0, 5.0, 6.0], []])
OPTION = ak.Array([1, None, 3, None, 5])


@pytest.fixture
def events():
    return Events({"x": np.arange(5), "pt": PT, "option": OPTION, "eta": PT * 2}, 5)


def test_it_reads_like_an_awkward_record(events):
    assert events.x is events["x"]
    assert events.fields == list(events) == ["x", "pt", "option", "eta"]
    assert len(events) == 5
    assert "x" in events
    assert "y" not in events
    assert events[["x", "pt"]].fields == ["x", "pt"]
    assert ak.to_list(events.to_awkward())[0] == {"x": 0, "pt": [1.0, 2.0], "option": 1, "eta": [2.0, 4.0]}


def test_an_unknown_field_is_named_with_close_ones(events):
    with pytest.raises(OpError, match=r"`etta`.*`eta`"):
        events["etta"]
    with pytest.raises(AttributeError, match="`eta`"):
        _ = events.etta
    assert not hasattr(events, "etta")


MASKS = [
    np.array([True, False, True, True, False]),
    np.zeros(5, bool),
    np.ones(5, bool),
    ak.Array([True, None, False, True, None]),
    np.array([4, 0, 0]),
    slice(1, 4),
    slice(None, None, -1),
]


@pytest.mark.parametrize("mask", MASKS, ids=str)
def test_filters_are_those_of_awkward(events, mask):
    plain = ak.fill_none(mask, False) if isinstance(mask, ak.Array) else mask
    kept = events[mask]
    for name in events:
        assert ak.to_list(kept[name]) == ak.to_list(ak.Array(events[name])[plain])
        assert len(kept[name]) == len(kept)


@pytest.mark.parametrize("first", MASKS[:4], ids=str)
def test_filters_of_filters(events, first):
    once = events[first]
    seen = ak.to_list(once["pt"])  # one column was used in between, the others were not
    mask = np.arange(len(once)) % 2 == 0
    twice = once[mask]
    assert ak.to_list(twice["pt"]) == [row for row, keep in zip(seen, mask, strict=True) if keep]
    assert ak.to_list(twice["eta"]) == [[2 * v for v in row] for row in ak.to_list(twice["pt"])]
    assert twice["x"].tolist() == once["x"][mask].tolist()
    added = twice.with_columns({"n": np.arange(len(twice))})
    assert added[np.zeros(len(twice), bool)]["n"].tolist() == []
    assert "n" not in twice


def test_a_column_that_nobody_uses_is_not_touched():
    class Untouchable:
        def __len__(self):
            return 5

        def __getattr__(self, name):
            raise AssertionError(f"used: {name}")

        __getitem__ = __getattr__

    events = Events({"x": np.arange(5), "never": Untouchable()}, 5)
    kept = events[events.x > 1][np.array([True, False, True])]
    assert kept.select(["x"])["x"].tolist() == [2, 4]


def test_columns_that_are_shared_are_taken_once(events):
    kept = events[np.array([True, False, True, True, False])]
    left, right = kept.select(["pt"]), kept.with_columns({"y": np.zeros(3)})
    assert left["pt"] is right["pt"]


def test_wrong_masks_and_columns_are_refused(events):
    with pytest.raises(OpError, match="needs 5 values"):
        events[np.array([True])]
    with pytest.raises(OpError, match="one value per event"):
        events[PT > 1]
    with pytest.raises(OpError, match="`y` has 3 entries, but there are 5 events"):
        events.with_columns({"y": np.zeros(3)})
    with pytest.raises(KeyError):
        events.select(["nothere"])
