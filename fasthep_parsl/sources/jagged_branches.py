"""Jagged branches of numbers: uproot's baskets, assembled so that branches of one collection share their offsets.

uproot converts the offsets of each branch to int64 and copies all contents twice. Here the offsets of a branch are
compared with those of the branches before it, and converted only if they are new.
"""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
from uproot.interpretation.jagged import AsJagged
from uproot.interpretation.numerical import AsDtype


class KnownOffsets:
    """The offsets of the branches that were read so far, for one range of events."""

    def __init__(self) -> None:
        self._found: list[tuple[int, list[Any], Any]] = []

    def of(self, itemsize: int, baskets: list[Any]) -> Any:
        """Return the offsets in items for offsets in bytes.

        Parameters
        ----------
        itemsize : int
            Bytes per item.
        baskets : list of ndarray
            Offsets of each basket in bytes.

        Returns
        -------
        awkward.index.Index64
            The same object for equal structures.
        """
        for size, known, offsets in self._found:
            if size == itemsize and len(known) == len(baskets) and all(map(np.array_equal, known, baskets)):
                return offsets
        counts = [np.diff(each) for each in baskets]
        offsets = np.zeros(sum(map(len, counts)) + 1, np.int64)
        np.cumsum(np.concatenate(counts) if counts else [], out=offsets[1:])
        if itemsize > 1:
            offsets //= itemsize
        index = next((old for _, _, old in self._found if np.array_equal(old.data, offsets)), None)
        if index is None:
            index = ak.index.Index64(offsets)
        self._found.append((itemsize, baskets, index))
        return index


def reads_faster(interpretation: Any) -> bool:
    """Whether `JaggedNumbers` can read a branch with this interpretation: lists of numbers without headers."""
    return (
        type(interpretation) is AsJagged
        and interpretation.header_bytes == 0
        and type(interpretation.content) is AsDtype
        and interpretation.content.from_dtype.names is None
        and interpretation.content.from_dtype.shape == ()
    )


class _Basket:
    """The bytes of a basket and the offsets of its events in them."""

    __slots__ = ("data", "offsets")

    def __init__(self, data: Any, offsets: Any) -> None:
        self.data = data
        self.offsets = offsets

    def __len__(self) -> int:
        return len(self.offsets) - 1


class JaggedNumbers(AsJagged):  # type: ignore[misc]
    """An interpretation of uproot for lists of numbers.

    Parameters
    ----------
    content : uproot.AsDtype
        Type of the numbers.
    known : KnownOffsets
        Offsets to share.
    """

    def __init__(self, content: Any, known: KnownOffsets) -> None:
        super().__init__(content)
        self._known = known

    def basket_array(self, data: Any, byte_offsets: Any, basket: Any, *_: Any) -> Any:
        """Return a basket as it is."""
        if byte_offsets is None:
            counts = basket.counts
            if counts is None:
                raise ValueError("lists without offsets and without a branch of their lengths")
            byte_offsets = np.zeros(len(counts) + 1, np.int64)
            np.cumsum(np.multiply(counts, self.content.from_dtype.itemsize), out=byte_offsets[1:])
        return _Basket(data, byte_offsets)

    def final_array(self, basket_arrays: Any, entry_start: int, entry_stop: int, entry_offsets: Any, *_: Any) -> Any:
        """Return the lists of events [entry_start, entry_stop) as an awkward array."""
        dtype = self.content.from_dtype
        offsets, parts = [], []
        for number, basket in sorted(basket_arrays.items()):
            first = max(entry_start - entry_offsets[number], 0)
            last = min(entry_stop, entry_offsets[number + 1]) - entry_offsets[number]
            if last >= first:
                found = basket.offsets[first : last + 1]
                offsets.append(found)
                parts.append(basket.data[found[0] : found[-1]].view(dtype))
        content = np.empty(sum(map(len, parts)), self.content.to_dtype)
        at = 0
        for part in parts:
            content[at : at + len(part)] = part
            at += len(part)
        index = self._known.of(dtype.itemsize, offsets)
        return ak.Array(ak.contents.ListOffsetArray(index, ak.contents.NumpyArray(content)))
