"""Streams between tasks: stored events equal the original ones for all types of files."""

import awkward as ak
import numpy as np
import pytest

from fasthep_parsl.ops.stream import Events
from fasthep_parsl.worker.meter import Meter
from fasthep_parsl.worker.outbox import Outbox
from fasthep_parsl.worker.store import load_events

LARGE = 2**63 + 1

PARTS = {
    "integers": [
        np.array([1, 2**62 + 1]),
        np.array([LARGE], np.uint64),
        np.array([3], np.int8),
        np.array([4], np.int8),
    ],
    "floats": [np.array([0.1], np.float32), np.array([0.1]), np.array([0.2], np.float32)],
    "bools": [np.array([True]), np.array([1], np.uint8)],
    "missing": [np.array([1, 2]), ak.Array([None, 2]), np.array([3])],
    "lists": [
        ak.Array([[1, 2], []]),
        ak.unflatten(np.array([LARGE], np.uint64), [1]),
        ak.Array([[None], [1]]),
        ak.Array([None, [2]]),
    ],
    "deeper": [ak.Array([[[1], []]]), ak.Array([[[2]], []]), ak.Array([[[2.5]], [None]])],
    "texts": [ak.Array(["a", "b"]), ak.Array(["ccc", None])],
}


@pytest.mark.parametrize("kind", PARTS)
@pytest.mark.parametrize("size", [1, 3, 100])
def test_values_and_types_do_not_depend_on_what_is_stored_together(kind, size, tmp_path):
    parts = [Events({"x": column}, len(column), np.full(len(column), i)) for i, column in enumerate(PARTS[kind])]
    outbox = Outbox("S", ("x",), tmp_path, 1, size, Meter())
    for number, events in enumerate(parts):
        outbox.put(events, 0, [(number, number + 1)])
    outbox.flush()
    found = [load_events(ref, ["x"]) for ref in outbox.refs]
    assert [x for events in found for x in ak.to_list(events["x"])] == [x for e in parts for x in ak.to_list(e["x"])]
    assert (
        np.concatenate([events.owners for events in found]).tolist()
        == np.concatenate([e.owners for e in parts]).tolist()
    )
    assert {number for ref in outbox.refs for span in ref.partitions for number in range(*span)} == set(
        range(len(parts))
    )
    given = {str(x): inner(e["x"]) for e in parts for x in ak.to_list(e["x"])}
    for events in found:
        for x in ak.to_list(events["x"]):
            assert inner(events["x"]) == given[str(x)]


def inner(column):
    """Return the type of the numbers in a column."""
    return str(ak.type(ak.flatten(ak.Array(column), axis=None)).content).removeprefix("?")


def test_columns_of_one_type_share_a_piece(tmp_path):
    outbox = Outbox("S", ("x",), tmp_path, 1, 100, Meter())
    for number, column in enumerate([ak.Array([[1.0], []]), ak.Array([[2.0, None]]), ak.Array([[3.0], None])[1:]]):
        outbox.put(Events({"x": column}, len(column)), 0, [(number, number + 1)])
    outbox.flush()
    assert len(outbox.refs) == 1
    assert load_events(outbox.refs[0], ["x"])["x"].to_list() == [[1.0], [], [2.0, None], None]
