"""Ranges of bytes: join close ones, cut large ones, and take the wanted bytes out of what was read."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence

from fasthep_parsl.storage.base import Range


def joined(ranges: Iterable[Range], gap: int) -> list[Range]:
    """Return sorted ranges that contain `ranges`. Those with at most `gap` bytes between them are one."""
    found: list[Range] = []
    for start, stop in sorted(ranges):
        if found and start - found[-1].stop <= gap:
            found[-1] = Range(found[-1].start, max(found[-1].stop, stop))
        else:
            found.append(Range(start, stop))
    return found


def cut(ranges: Iterable[Range], most: int) -> list[Range]:
    """Return the same bytes in ranges of at most `most` bytes."""
    return [
        Range(low, min(low + most, stop)) for start, stop in ranges for low in range(start, max(stop, start + 1), most)
    ]


def groups(ranges: Iterable[Range], count: int, size: int) -> Iterator[list[Range]]:
    """Yield groups of at most `count` ranges with at most `size` bytes in all; a larger range is a group."""
    group: list[Range] = []
    held = 0
    for item in ranges:
        length = item.stop - item.start
        if group and (len(group) == count or held + length > size):
            yield group
            group, held = [], 0
        group.append(item)
        held += length
    if group:
        yield group


class Pieces:
    """Bytes of a file that were read in pieces.

    Parameters
    ----------
    ranges : sequence of Range
        Disjoint and sorted.
    contents : sequence of bytes
        The bytes of each.
    """

    def __init__(self, ranges: Sequence[Range], contents: Sequence[bytes | memoryview]) -> None:
        self._starts = [start for start, _ in ranges]
        self._contents = [memoryview(content) for content in contents]

    def find(self, start: int, stop: int) -> memoryview | None:
        """Return bytes [start, stop), None if some of them were not read."""
        place = bisect_right(self._starts, start) - 1
        if place < 0:
            return None
        low = start - self._starts[place]
        first = self._contents[place]
        if low + stop - start <= len(first):
            return first[low : low + stop - start]
        return self._across(place, start, stop)

    def _across(self, place: int, start: int, stop: int) -> memoryview | None:
        """Return bytes that adjacent pieces have."""
        found = bytearray()
        while start < stop:
            if place == len(self._starts) or start < self._starts[place]:
                return None
            piece = self._contents[place][start - self._starts[place] :][: stop - start]
            if not piece:
                return None
            found += piece
            start += len(piece)
            place += 1
        return memoryview(found)
