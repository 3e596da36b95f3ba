"""Parse and format quantities with units: ``64GB``, ``4GiB``, ``2h``, ``30m``."""

from __future__ import annotations

import math
import re

_BYTES: dict[str, int] = {
    "": 1,
    **{prefix + "b": 1000**power for power, prefix in enumerate(("", "k", "m", "g", "t", "p"))},
    **{prefix + "ib": 1024**power for power, prefix in enumerate(("", "k", "m", "g", "t", "p")) if prefix},
}
_SECONDS = {"": 1.0, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_NUMBER = r"\d+(?:\.\d*)?|\.\d+"
_QUANTITY = re.compile(rf"({_NUMBER})\s*([a-zA-Z]*)")
_DURATION = re.compile(rf"(?:(?:{_NUMBER})\s*[a-zA-Z]+\s*)+")
_CLOCK = re.compile(r"(\d{1,6}):([0-5]\d):([0-5]\d)")


class UnitError(ValueError):
    """A text that is not a valid quantity.

    Parameters
    ----------
    message : str
        What is wrong.
    hint : str
        What to do.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message


def parse_memory(value: object) -> int:
    """Return an amount of memory or disk in bytes.

    Parameters
    ----------
    value : str or int
        ``"64GB"`` (1000³), ``"4GiB"`` (1024³), ``"500 MB"``, or a number of bytes. Case does not matter.

    Returns
    -------
    int
        Bytes, at least 1.

    Raises
    ------
    UnitError
        Not a quantity, an unknown unit, or less than one byte.
    """
    example = "write for example `4GB` (4 000 000 000 bytes) or `4GiB` (1024³)"
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise UnitError(f"expected an amount of memory, got {describe(value)}", example)
    if isinstance(value, str):
        match = _QUANTITY.fullmatch(value.strip())
        if match is None:
            raise UnitError(f"`{value}` is not an amount of memory", example)
        number, unit = float(match[1]), match[2].lower()
        if unit not in _BYTES:
            raise UnitError(f"`{match[2]}` is not a unit of memory", _memory_hint(match[1], unit))
        amount = number * _BYTES[unit]
    else:
        amount = float(value)
    if not math.isfinite(amount) or amount < 1:
        raise UnitError(f"`{value}` is less than one byte" if amount < 1 else f"`{value}` is not finite", example)
    return round(amount)


def _memory_hint(number: str, unit: str) -> str:
    guess = unit + "b"
    if guess in _BYTES:
        proper = guess.upper().replace("IB", "iB") if "i" in guess else guess.upper()
        return f"did you mean `{number}{proper}`?"
    return "units: B, kB, MB, GB, TB, PB (1000) and KiB, MiB, GiB, TiB, PiB (1024)"


def parse_duration(value: object) -> float:
    """Return a time in seconds.

    Parameters
    ----------
    value : str, int or float
        ``"2h"``, ``"30m"``, ``"1h30m"``, ``"2d"``, ``"45s"``, ``"08:00:00"`` (hours:minutes:seconds), or seconds.

    Returns
    -------
    float
        Seconds, more than 0.

    Raises
    ------
    UnitError
        Not a time, an unknown unit, or not more than zero.
    """
    example = "write for example `30m`, `2h`, `1h30m` or a number of seconds"
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise UnitError(f"expected a time, got {describe(value)}", example)
    seconds = _seconds(value.strip(), example) if isinstance(value, str) else float(value)
    if not math.isfinite(seconds) or seconds <= 0:
        raise UnitError(f"`{value}` is not a time above zero", example)
    return seconds


def _seconds(text: str, example: str) -> float:
    clock = _CLOCK.fullmatch(text)
    if clock:
        return int(clock[1]) * 3600.0 + int(clock[2]) * 60.0 + int(clock[3])
    if re.fullmatch(r"\d+:\d+", text):
        raise UnitError(
            f"`{text}` is ambiguous: hours or minutes", "write hours:minutes:seconds, or for example `1h30m`"
        )
    plain = re.fullmatch(_NUMBER, text)
    if plain:
        return float(text)
    if not _DURATION.fullmatch(text):
        raise UnitError(f"`{text}` is not a time", example)
    total = 0.0
    for number, unit in _QUANTITY.findall(text):
        if unit.lower() not in _SECONDS:
            raise UnitError(f"`{unit}` is not a unit of time", "units: s, m (minutes), h, d")
        total += float(number) * _SECONDS[unit.lower()]
    return total


def parse_count(value: object) -> int:
    """Return a whole number; ``2.0``, ``"2"`` and ``1e5`` are valid, true and ``2.5`` are not.

    Raises
    ------
    UnitError
        Not a whole number.
    """
    message = f"expected a whole number, got {describe(value)}"
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise UnitError(message)
    if isinstance(value, int):
        return value
    try:
        number = float(value)
        whole = int(number)
    except (ValueError, OverflowError):
        raise UnitError(message) from None
    if whole != number:
        raise UnitError(message)
    return whole


def describe(value: object) -> str:
    """Return a description of `value`: ``text `abc```, ``a list``, ``nothing``."""
    if value is None:
        return "nothing"
    if isinstance(value, str):
        return f"text `{value if len(value) <= 40 else value[:37] + '...'}`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    names: tuple[tuple[type | tuple[type, ...], str], ...] = (
        ((int, float), f"the number `{value}`"),
        (dict, "a mapping (`key: value`)"),
        ((list, tuple), "a list"),
    )
    return next((text for types, text in names if isinstance(value, types)), f"`{value}`")


def format_memory(amount: int) -> str:
    """Return bytes with a unit: ``64 GB``, ``1.5 GB``, ``500 MB`` (powers of 1000)."""
    for power, unit in ((5, "PB"), (4, "TB"), (3, "GB"), (2, "MB"), (1, "kB")):
        if amount >= 1000**power:
            return f"{amount / 1000**power:.4g} {unit}"
    return f"{amount} B"


def format_duration(seconds: float) -> str:
    """Return seconds with units: ``2h``, ``1h30m``, ``45s``."""
    rest = round(seconds)
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or f"{seconds:.3g}s"


def counted(number: int, noun: str) -> str:
    """Return a number of things: ``1 stage``, ``2,000 stages``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
