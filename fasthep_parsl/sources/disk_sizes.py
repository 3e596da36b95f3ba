"""What the branches of an open file take on disk, and what their titles say."""

from __future__ import annotations

from typing import NamedTuple


class StoredBranch(NamedTuple):
    """A branch on disk.

    Attributes
    ----------
    title : str
        Its title or description; empty if it has none.
    bytes : int or None
        Compressed bytes of all its values; None if unknown.
    """

    title: str
    bytes: int | None


class StoredTree(NamedTuple):
    """A tree on disk.

    Attributes
    ----------
    bytes : int
        Compressed bytes of all branches.
    unit : str
        Word of the format for the pieces that are compressed: baskets, pages, chunks.
    pieces : int
        Number of these.
    branches : dict
        Name → branch. Members of objects that are stored in one piece are not listed.
    """

    bytes: int
    unit: str
    pieces: int
    branches: dict[str, StoredBranch]
