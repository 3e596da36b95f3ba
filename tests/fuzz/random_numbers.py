"""``random`` and ``random_normal`` of single events and objects: Philox-4x32-10 with plain integers."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

from fuzz.values import Refused, Unclear, Value


def words(counter: list[int], key: list[int]) -> list[int]:
    """Return the four words of a counter, as the paper writes the rounds."""
    a, b, c, d = counter
    first, second = key
    for _ in range(10):
        (high0, low0), (high1, low1) = divmod(0xD2511F53 * a, 2**32), divmod(0xCD9E8D57 * c, 2**32)
        a, b, c, d = high1 ^ b ^ first, low1, high0 ^ d ^ second, low0
        first, second = (first + 0x9E3779B9) % 2**32, (second + 0xBB67AE85) % 2**32
    return [a, b, c, d]


def number(name: str, seed: int, run: int, block: int, event: int, position: int) -> float:
    """Return the number of an event (position 0) or of its object number `position`, counted from 1."""
    counter = [event % 2**32, event // 2**32 % 2**32, block % 2**32, run % 2**32]
    a, b, c, d = words(counter, [seed, position])
    if name == "random":
        return (a * 2**21 + b // 2**11) / 2**53
    return NormalDist().inv_cdf((c * 2**20 + d // 2**12 + 0.5) / 2**52)


def call(oracle: Any, name: str, args: list[Value]) -> Value:
    seed, *keys = args[:4]
    objects = args[4] if len(args) > 4 else None
    if not (seed.is_const and seed.kind == "i" and 0 <= seed.const < 2**32):
        raise Refused("no seed")
    if any(key.depth or key.kind not in "bi" for key in keys):
        raise Refused("not one integer per event")
    if objects is not None and not objects.depth:
        raise Refused("not a list")
    if all(key.is_const for key in keys) and objects is None:
        raise Unclear("a function of constants")

    def drawn(event: int, position: int) -> float | None:
        found = [key.const if key.is_const else key.data[event] for key in keys]
        return None if None in found else number(name, seed.const, *map(int, found), position)

    if objects is None:
        return Value("d", 0, tuple(drawn(event, 0) for event in range(oracle.number)))
    rows = [
        _row(entry, objects.depth, lambda n, event=event: drawn(event, n), [0])
        for event, entry in enumerate(objects.data)
    ]
    return Value("d", objects.depth, tuple(rows), structure=objects.structure)


def _row(entry: Any, depth: int, drawn: Any, count: list[int]) -> Any:
    if depth == 0:
        count[0] += 1
        return None if entry is None else drawn(count[0])
    return None if entry is None else tuple(_row(part, depth - 1, drawn, count) for part in entry)
