"""Parts of stored chunks: each event is in one of them."""

from __future__ import annotations

import pytest

from fasthep_parsl.driver.stream_chunks import divisions, halves_of, remaining
from fasthep_parsl.tasks import Ref

WHOLE = Ref("f", "c", 1, 15, 0, ((3, 5), (9, 12)), (1, 2, 3, 4, 5))


def test_halves_have_all_events():
    first, second = halves_of(WHOLE)
    assert (first.partitions, first.counts, first.skip, first.events) == (((3, 5),), (1, 2), 0, 3)
    assert (second.partitions, second.counts, second.skip, second.events) == (((9, 12),), (3, 4, 5), 3, 12)
    _, last = halves_of(halves_of(second)[1])
    assert (last.partitions, last.counts, last.skip, last.events) == (((11, 12),), (5,), 10, 5)
    assert halves_of(last) == [last]


@pytest.mark.parametrize(
    ("done", "left"),
    [
        ([], [WHOLE]),
        ([(0, 20)], []),
        ([(4, 10)], [(((3, 4),), (1,), 0, 1), (((10, 12),), (4, 5), 6, 9)]),
        ([(3, 4), (11, 12)], [(((4, 5), (9, 11)), (2, 3, 4), 1, 9)]),
    ],
)
def test_remaining_parts(done, left):
    found = remaining(WHOLE, done)
    assert found == left or [(r.partitions, r.counts, r.skip, r.events) for r in found] == left


def test_a_chunk_without_counts_is_not_divided():
    unknown = Ref("f", "c", 1, 15, 0, ((3, 5),))
    assert divisions(unknown) == 1
    assert halves_of(unknown) == remaining(unknown, [(3, 4)]) == [unknown]
    assert remaining(unknown, [(3, 5)]) == []
