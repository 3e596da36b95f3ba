"""Pages of an RNTuple: read ranges of elements of its columns without the rest of a cluster.

uproot reads whole clusters, and an unnecessary one after a range that ends with a cluster. This module selects the pages
that overlap a range. uproot decompresses and decodes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from queue import Queue
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

COLLECTION = 1
"""`RNTupleFieldRole` of lists."""


class ElementRange(NamedTuple):
    """Elements [start, stop) of a column in a cluster."""

    cluster: int
    start: int
    stop: int


class Pages:
    """Reads elements of the columns of an RNTuple.

    Parameters
    ----------
    ntuple : uproot RNTuple
        The RNTuple.

    Attributes
    ----------
    bytes_read : int
        Compressed bytes of all pages decoded so far.
    """

    def __init__(self, ntuple: Any) -> None:
        self._ntuple = ntuple
        self._source = ntuple.file.source
        self._chunks: dict[int, Any] = {}
        self.bytes_read = 0

    def elements(self, column: int, ranges: Sequence[ElementRange]) -> NDArray[Any]:
        """Return the elements of `ranges`, concatenated. Offsets of lists count from the start of their cluster."""
        number = sum(part.stop - part.start for part in ranges)
        found = np.empty(number, self._ntuple.get_field_metadata(column).dtype_result)
        done = 0
        for part in ranges:
            length = part.stop - part.start
            self._fill(found[done : done + length], column, part)
            done += length
        return found

    def size(self, column: int, clusters: Iterable[int]) -> int:
        """Return the compressed bytes of a column in `clusters`."""
        return sum(int(p.locator.num_bytes) for cluster in clusters for p in self._pages(column, cluster)[1])

    def count(self, column: int, clusters: Iterable[int]) -> int:
        """Return the number of pages of a column in `clusters`."""
        return sum(len(self._pages(column, cluster)[1]) for cluster in clusters)

    def raw(self, column: int, part: ElementRange) -> bytes:
        """Return the compressed pages that overlap a range: equal bytes are equal elements."""
        pages = self._overlapping(column, part, self._pages(column, part.cluster)[1])
        return b"".join(bytes(self._chunk(page.locator).raw_data) for page, _, _ in pages)

    def fetch(self, columns: Iterable[int], clusters: Sequence[int]) -> None:
        """Request all pages of `columns` in `clusters` from a server at once. `forget` releases them."""
        ranges = self._places(columns, clusters)
        chunks = self._source.chunks(ranges, notifications=Queue())
        self._chunks = {first: chunk for (first, _), chunk in zip(ranges, chunks, strict=True)}

    def prefetch(self, columns: Iterable[int], clusters: Sequence[int]) -> None:
        """Begin to read all pages of `columns` in `clusters`, if the file is remote: `fetch` will ask for them."""
        begin = getattr(self._source, "prefetch", None)
        if begin is not None:
            begin(self._places(columns, clusters))

    def _places(self, columns: Iterable[int], clusters: Sequence[int]) -> list[tuple[int, int]]:
        """Return where the pages are, as ranges of bytes."""
        locators = [p.locator for column in columns for cluster in clusters for p in self._pages(column, cluster)[1]]
        return list(dict.fromkeys((int(at.offset), int(at.offset + at.num_bytes)) for at in locators))

    def forget(self) -> None:
        """Release what `fetch` has requested."""
        self._chunks = {}

    def _pages(self, column: int, cluster: int) -> tuple[Any, Sequence[Any]]:
        """Return the encoding of a column in a cluster, and its pages."""
        columns = self._ntuple.page_link_list[cluster]
        if column >= len(columns):  # added to the RNTuple later
            return self._ntuple.get_field_metadata(column), []
        if columns[column].suppressed:  # this cluster uses another encoding of the column
            field = self._ntuple.column_records[column].field_id
            same = [record.idx for record in self._ntuple.column_records if record.field_id == field]
            column = next(other for other in same if not columns[other].suppressed)
        return self._ntuple.get_field_metadata(column), columns[column].pages

    def _absent(self, column: int, cluster: int, pages: Sequence[Any]) -> int:
        """Return the number of elements without pages, before a column was added to the RNTuple. They are 0, or empty."""
        added = column >= len(self._ntuple.page_link_list[cluster])
        if not (added or self._ntuple.column_records[column].first_element_index):
            return 0
        fields = self._ntuple.field_records
        number = int(self._ntuple.cluster_summaries[cluster].num_entries)
        field_id, inside = self._ntuple.column_records[column].field_id, False
        while True:
            field = fields[field_id]
            if inside and not field.repetition and field.struct_role == COLLECTION:
                return 0  # empty lists have no items
            number *= field.repetition or 1
            if field.parent_field_id == field_id:
                return max(number - sum(int(page.num_elements) for page in pages), 0)
            field_id, inside = field.parent_field_id, True

    def _overlapping(self, column: int, part: ElementRange, pages: Sequence[Any]) -> Iterator[tuple[Any, int, int]]:
        """Yield the pages that overlap a range, with the numbers of their first element and the one after the last."""
        last = self._absent(column, part.cluster, pages)
        for page in pages:
            first, last = last, last + page.num_elements
            if last > part.start and first < part.stop:
                yield page, first, last

    def _fill(self, found: NDArray[Any], column: int, part: ElementRange) -> None:
        encoding, pages = self._pages(column, part.cluster)
        done = min(max(self._absent(column, part.cluster, pages) - part.start, 0), len(found))
        found[:done] = 0
        for page, first, last in self._overlapping(column, part, pages):
            low, high = max(first, part.start), min(last, part.stop)
            target = found[low - part.start : high - part.start]
            if high - low == last - first:
                self._decode(page, target, encoding)
            else:
                whole = np.empty(last - first, found.dtype)
                self._decode(page, whole, encoding)
                target[:] = whole[low - first : high - first]
            done += high - low
        if done != len(found):
            raise ValueError(f"column {column} has {done:,} of {len(found):,} elements in cluster {part.cluster}")

    def _decode(self, page: Any, found: NDArray[Any], encoding: Any) -> None:
        """Fill `found` with all elements of a page."""
        import uproot

        number = len(found)
        if encoding.isbit:
            number = (number + 7) // 8
        elif encoding.dtype_str in ("real32trunc", "real32quant"):
            number = (number * encoding.nbits + 7) // 8
        size = number * encoding.dtype_toread.itemsize
        chunk, cursor = self._chunk(page.locator), uproot.source.cursor.Cursor(page.locator.offset)
        self.bytes_read += page.locator.num_bytes
        if page.locator.num_bytes < size:
            chunk = uproot.compression.decompress(chunk, cursor, {}, page.locator.num_bytes, size, block_info=None)
            cursor.move_to(0)
        content = cursor.array(chunk, number, encoding.dtype_toread, {}, move=False)
        if encoding.split:
            _unsplit(content, found.view(encoding.dtype)[: len(found)])
        else:
            found.view(encoding.dtype_toread)[:number] = content
            self._ntuple.deserialize_page_decompressed_buffer(found, encoding)
        if encoding.dtype != found.dtype:
            found[:] = found.view(encoding.dtype)[: len(found)].copy()
        self._ntuple.post_process(found, encoding)  # differences start again with each page

    def _chunk(self, locator: Any) -> Any:
        chunk = self._chunks.get(locator.offset)
        return chunk if chunk is not None else self._source.chunk(locator.offset, locator.offset + locator.num_bytes)


def _unsplit(content: NDArray[Any], found: NDArray[Any]) -> None:
    """Join the bytes of values. A split page contains all first bytes, then all second bytes, and so on."""
    size = found.itemsize
    split = content.view(np.uint8).reshape(size, -1)
    together = found.view(np.uint8)
    for number in range(size):
        together[number::size] = split[number]
