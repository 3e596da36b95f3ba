"""Values of DER, the encoding of certificates: just enough to read the attributes of a VOMS proxy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

SEQUENCE, BIT_STRING, OCTET_STRING, OID, GENERALIZED_TIME, URI = 0x30, 0x03, 0x04, 0x06, 0x18, 0x86
_CONSTRUCTED = 0x20
_MULTI_BYTE = 0x1F
_MOST_LENGTH = 4


@dataclass(frozen=True, slots=True)
class Value:
    """A value of DER.

    Attributes
    ----------
    tag : int
        Its tag, one byte.
    content : bytes
        Its content.
    """

    tag: int
    content: bytes

    @property
    def children(self) -> list[Value]:
        """The values in a constructed value; of others none.

        Raises
        ------
        ValueError
            The content is not DER.
        """
        return list(values(self.content)) if self.tag & _CONSTRUCTED else []

    def walk(self) -> Iterator[Value]:
        """Yield this value and all values in it, in their order.

        Raises
        ------
        ValueError
            The content is not DER.
        """
        waiting = [self]
        while waiting:
            value = waiting.pop()
            yield value
            waiting += reversed(value.children)


def values(content: bytes) -> Iterator[Value]:
    """Yield the values that follow each other in `content`.

    Raises
    ------
    ValueError
        It is not DER.
    """
    position = 0
    while position < len(content):
        tag, start, stop = _bounds(content, position)
        yield Value(tag, content[start:stop])
        position = stop


def _bounds(content: bytes, position: int) -> tuple[int, int, int]:
    """Return the tag of the value at `position`, and where its content begins and ends."""
    head = content[position : position + 2]
    if len(head) < 2 or head[0] & _MULTI_BYTE == _MULTI_BYTE:
        raise ValueError("not DER: a tag is not complete or has several bytes")
    start, length = position + 2, head[1]
    if length & 0x80:
        size = length & 0x7F
        if not 0 < size <= _MOST_LENGTH:
            raise ValueError("not DER: a length is not valid")
        length = int.from_bytes(content[start : start + size], "big")
        start += size
    if start + length > len(content):
        raise ValueError("not DER: a value ends early")
    return head[0], start, start + length
