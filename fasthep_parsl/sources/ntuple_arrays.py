"""Arrays of an RNTuple: build the awkward array of an entry range from the columns that a form names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from fasthep_parsl.sources.root_pages import ElementRange, Pages


def columns_of(form: Any) -> Iterator[int]:
    """Yield the numbers of the columns that a form reads."""
    if str(form.form_key).startswith("column-"):
        yield int(form.form_key.split("-")[1])
    if form.is_record:
        for content in form.contents:
            yield from columns_of(content)
    elif not form.is_numpy:
        yield from columns_of(form.content)


class Arrays:
    """Reads fields by their form. Offsets that several fields share are read once.

    Parameters
    ----------
    ntuple : uproot RNTuple
        The RNTuple.
    pages : Pages
        Its columns.
    """

    def __init__(self, ntuple: Any, pages: Pages) -> None:
        self._ntuple = ntuple
        self._pages = pages
        self._offsets: dict[Any, tuple[NDArray[np.int64], list[ElementRange]]] = {}

    def of(self, form: Any, ranges: Sequence[ElementRange]) -> Any:
        """Return the layout of the entries of `ranges`."""
        key = str(form.form_key)
        if form.is_numpy:
            return ak.contents.NumpyArray(self._numbers(key, ranges), parameters=form.parameters)
        if form.is_record:
            length = _length(ranges)
            contents = [self.of(content, ranges) for content in form.contents]
            fields = None if form.is_tuple else form.fields
            return ak.contents.RecordArray(contents, fields, length=length, parameters=form.parameters)
        if form.is_regular:
            inner = [ElementRange(part.cluster, part.start * form.size, part.stop * form.size) for part in ranges]
            return ak.contents.RegularArray(self.of(form.content, inner), form.size, zeros_length=_length(ranges))
        column = int(key.split("-")[1])
        offsets, inner = self._lists(column, ranges)
        content = self.of(form.content, inner)
        if form.is_option:
            counts = np.diff(offsets)
            index = np.where(counts > 0, offsets[:-1], -1)
            return ak.contents.IndexedOptionArray(ak.index.Index64(index), content)
        return ak.contents.ListOffsetArray(ak.index.Index64(offsets), content, parameters=form.parameters)

    def _numbers(self, key: str, ranges: Sequence[ElementRange]) -> NDArray[Any]:
        column = int(key.split("-")[1])
        if key.endswith("cardinality"):
            return np.diff(self._lists(column, ranges)[0])
        found = self._pages.elements(column, ranges)
        return found.astype(np.float32) if found.dtype == np.float16 else found  # ops do not support half precision

    def _lists(self, column: int, ranges: Sequence[ElementRange]) -> tuple[NDArray[np.int64], list[ElementRange]]:
        """Return the offsets of lists, beginning with 0, and the ranges of their items."""
        known = (column, tuple(ranges))
        if known not in self._offsets:
            raw = tuple(self._pages.raw(column, ElementRange(s.cluster, max(s.start - 1, 0), s.stop)) for s in ranges)
            equal = (raw, tuple(ranges), self._ntuple.column_records[column].type)
            if equal not in self._offsets:
                self._offsets[equal] = self._read_lists(column, ranges)
            self._offsets[known] = self._offsets[equal]
        return self._offsets[known]

    def _read_lists(self, column: int, ranges: Sequence[ElementRange]) -> tuple[NDArray[np.int64], list[ElementRange]]:
        offsets = np.zeros(_length(ranges) + 1, np.int64)
        inner = []
        done = 0
        for part in ranges:
            before = int(part.start > 0)  # a list begins where the list before it ends
            ends = self._pages.elements(column, [ElementRange(part.cluster, part.start - before, part.stop)])
            ends = ends.astype(np.int64, copy=False)
            length = part.stop - part.start
            first = int(ends[0]) if before else 0
            last = int(ends[-1]) if length else first
            offsets[done + 1 : done + 1 + length] = ends[before:] + (offsets[done] - first)
            inner.append(ElementRange(part.cluster, first, last))
            done += length
        return offsets, inner


def _length(ranges: Sequence[ElementRange]) -> int:
    return sum(part.stop - part.start for part in ranges)
