"""Error messages of kernels: reduce numba's messages to the author's line and the reason."""

from __future__ import annotations

import re
from collections.abc import Mapping

from fasthep_parsl.errors import OpError
from fasthep_parsl.kernels.target import Device

NAMES = {"cpu": "CPU", "gpu": "GPU"}
_PLACE = re.compile(r'File "(?P<a>[^"]+)", line (?P<b>\d+)|(?P<c>\S+\.py) \((?P<d>\d+)\)')
_NOISE = ("Failed in ", "During: ", "There are ", "- Of which", "File ", "Overload of", "With argument")
_LIMIT = 300


def complaint(
    error: Exception, kernel: str, device: Device, file: str, places: Mapping[int, tuple[str, str]]
) -> OpError:
    """Return numba's `error` as a short error for the author of a kernel.

    Parameters
    ----------
    error : Exception
        The error of numba.
    kernel : str
        Name of the kernel.
    device : "cpu" or "gpu"
        The target.
    file : str
        Name of the generated module's file.
    places : mapping
        Line number in the generated module → (``file:line`` of the author, the line).
    """
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    reason = _reason(error, text)
    where = next((places[line] for line in _lines(error, text, file) if line in places), None) or _calling(
        reason, places
    )
    at = "{}: `{}`: ".format(*where) if where is not None else ""
    return OpError(f"kernel `{kernel}` does not compile for the {NAMES[device]}: {at}{reason}")


def _calling(reason: str, places: Mapping[int, tuple[str, str]]) -> tuple[str, str] | None:
    """Return the line that calls an unsupported function. numba-cuda does not always report it."""
    named = re.search(r"of function `(?:\w+\.)*(\w+)`", reason)
    found = [place for place in places.values() if named and re.search(rf"\b{named[1]}\(", place[1])]
    return found[0] if len(found) == 1 else None


def _lines(error: Exception, text: str, file: str) -> list[int]:
    found = [int(m["b"] or m["d"]) for m in _PLACE.finditer(text) if (m["a"] or m["c"]).endswith(file)]
    line = getattr(getattr(error, "loc", None), "line", None)
    return [*found, line] if isinstance(line, int) else found


def _reason(error: Exception, text: str) -> str:
    """Return the first informative paragraph as one line."""
    parts: list[str] = []
    for line in (line.strip() for line in text.splitlines()):
        if line.startswith(_NOISE):
            if parts:
                break
        elif line:
            parts.append(line.removeprefix(">>> "))
        elif parts and not parts[-1].endswith(":"):
            break
    reason = re.sub(r" defined at \S+\.py \(\d+\)", "", " ".join(parts)).rstrip(" ,")
    reason = re.sub(r"Function\(<(?:built-in )?(?:function|method|ufunc|class) '?([\w.]+)[^>]*>\)", r"`\1`", reason)
    reason = re.sub(r"Module\(<module '([\w.]+)'[^>]*>\)", r"`\1`", reason)
    return (reason or type(error).__name__)[:_LIMIT]
