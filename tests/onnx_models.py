"""Small ONNX models, written as the bytes of their protocol buffers: the tests need no package that makes them."""

from __future__ import annotations

import struct
from collections.abc import Sequence

FLOAT, INT64, STRING, DOUBLE = 1, 7, 8, 11
Port = tuple[str, int, Sequence[int | str] | None]
"""Name, type, dimensions: numbers, or names of free ones."""


def _varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def _field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    content = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def port(name: str, kind: int, shape: Sequence[int | str] | None) -> bytes:
    """A ``ValueInfoProto``."""
    tensor = _field(1, kind)
    if shape is not None:
        dims = b"".join(_field(1, _field(1, dim) if isinstance(dim, int) else _field(2, dim)) for dim in shape)
        tensor += _field(2, dims)
    return _field(1, name) + _field(2, _field(1, tensor))


def sequence(name: str) -> bytes:
    """A ``ValueInfoProto`` of a sequence of maps, as exported classifiers have it."""
    return _field(1, name) + _field(2, _field(4, b""))


def weights(name: str, rows: Sequence[Sequence[float]], *, external: bool = False) -> bytes:
    """A ``TensorProto`` of float32."""
    dims = _field(1, len(rows)) + _field(1, len(rows[0]))
    values = struct.pack(f"<{len(rows) * len(rows[0])}f", *(value for row in rows for value in row))
    return dims + _field(2, FLOAT) + _field(8, name) + (_field(14, 1) if external else _field(9, values))


def node(kind: str, inputs: Sequence[str], outputs: Sequence[str], **integers: int) -> bytes:
    """A ``NodeProto``."""
    attributes = (_field(5, _field(1, name) + _field(3, value) + _field(20, 2)) for name, value in integers.items())
    parts = [
        *(_field(1, name) for name in inputs),
        *(_field(2, name) for name in outputs),
        _field(4, kind),
        *attributes,
    ]
    return b"".join(parts)


def model(
    nodes: Sequence[bytes], inputs: Sequence[bytes], outputs: Sequence[bytes], initializers: Sequence[bytes] = ()
) -> bytes:
    """A ``ModelProto`` with the operators of ONNX 13."""
    graph = b"".join([
        *(_field(1, item) for item in nodes),
        _field(2, "graph"),
        *(_field(5, item) for item in initializers),
        *(_field(11, item) for item in inputs),
        *(_field(12, item) for item in outputs),
    ])  # fmt: skip
    return _field(1, 8) + _field(2, "tests") + _field(8, _field(1, "") + _field(2, 13)) + _field(7, graph)


def linear(rows: Sequence[Sequence[float]], *, batch: int | str = "N", external: bool = False) -> bytes:
    """``y = x · rows``: one input `x` with a feature per row, one output `y` with a number per column."""
    return model(
        [node("MatMul", ["x", "w"], ["y"])],
        [port("x", FLOAT, [batch, len(rows)])],
        [port("y", FLOAT, [batch, len(rows[0])])],
        [weights("w", rows, external=external)],
    )


def two_inputs() -> bytes:
    """``sum = a + float(n)`` of `a` (rows of two), and of integers `n`, one per row; and ``twice = 2 n``."""
    return model(
        [
            node("Cast", ["n"], ["f"], to=FLOAT),
            node("Unsqueeze", ["f", "axes"], ["column"]),
            node("Add", ["a", "column"], ["sum"]),
            node("Add", ["n", "n"], ["twice"]),
        ],
        [port("a", FLOAT, ["N", 2]), port("n", INT64, ["N"])],
        [port("sum", FLOAT, ["N", 2]), port("twice", INT64, ["N"])],
        [_field(1, 1) + _field(2, INT64) + _field(8, "axes") + _field(9, struct.pack("<q", 1))],
    )
