"""Evaluate corrections with correctionlib: loaded once per process, called on flat arrays in host memory."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from fasthep_parsl.errors import OpError
from fasthep_parsl.ops.arrays import np
from fasthep_parsl.ops.columns.value_types import Masked, Value, all_valid, is_scalar, is_text
from fasthep_parsl.ops.corrections.correction_json import (
    CorrectionEntry,
    bin_range,
    categories,
    read_content,
    read_entries,
)

MOST = 16
"""Files whose corrections a process keeps."""
_ARGUMENT = re.compile(r"input argument (\d+) val(?:ue)?: (.+)$")
_loaded: OrderedDict[str, Any] = OrderedDict()


def load(path: Path) -> Any:
    """Return the ``CorrectionSet`` of a file. Files with the same content are loaded once per process.

    Raises
    ------
    RuntimeError
        correctionlib cannot load it.
    """
    stat = path.stat()
    return _load(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=MOST)
def _load(path: Path, _mtime: int, _size: int) -> Any:
    import correctionlib

    text = read_content(path)
    key = sha256(text.encode()).hexdigest()
    if key not in _loaded:
        _loaded[key] = correctionlib.CorrectionSet.from_string(text)
        if len(_loaded) > MOST:
            _loaded.popitem(last=False)
    _loaded.move_to_end(key)
    return _loaded[key]


class Evaluator:
    """A correction of a file.

    Parameters
    ----------
    path : Path
        The file.
    name : str
        Name of the correction or compound correction.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self.name = name
        found = load(path)
        self._correction = found.compound[name] if name in found.compound else found[name]
        self.inputs: tuple[tuple[str, str], ...] = tuple((item.name, item.type) for item in self._correction.inputs)

    def __call__(self, *parts: Value) -> Value:
        """Return the correction, float64: a leaf function of `elementwise`.

        Parameters
        ----------
        *parts : constant, array or Masked
            One for each input, of equal length.

        Returns
        -------
        float, array or Masked
            Missing where an input is missing, NaN where an input that is a number is NaN.

        Raises
        ------
        OpError
            An input has the wrong type, or there is no value for it.
        """
        valid = all_valid(*(part.valid for part in parts if isinstance(part, Masked)))
        flat = [self._typed(number, part) for number, part in enumerate(parts)]
        arrays = [part for part in flat if not is_scalar(part)]
        if not arrays:
            return self._evaluate(flat)
        keep = all_valid(valid, *_numbers(flat))
        if keep is None or keep.all():
            found = self._evaluate(flat)
        else:
            found = np.full(len(arrays[0]), np.nan)
            found[keep] = self._evaluate([part if is_scalar(part) else part[keep] for part in flat])
        return found if valid is None else Masked(found, valid)

    def _typed(self, number: int, part: Value) -> Any:
        """Return an input in a type that correctionlib takes for it."""
        name, kind = self.inputs[number]
        value = part.values if isinstance(part, Masked) else part
        if kind == "string":
            if not isinstance(value, str):
                raise OpError(f"correction `{self.name}`: the input `{name}` is text, not `{value}`")
            return value
        if is_text(value):
            raise OpError(f"correction `{self.name}`: the input `{name}` is a number, not text")
        if kind == "int":
            if isinstance(value, float) or (not is_scalar(value) and value.dtype.kind not in "biu"):
                hint = "convert it with `dtype: int64` in hep.define"
                raise OpError(f"correction `{self.name}`: the input `{name}` is an integer, but gets floats ({hint})")
            return int(value) if is_scalar(value) else value
        return float(value) if is_scalar(value) else value

    def _evaluate(self, flat: Sequence[Any]) -> Any:
        try:
            if all(map(is_scalar, flat)):
                return float(self._correction.evaluate(*flat))
            return self._correction._base.evalv(*flat)  # without the copies of `evaluate`
        except (RuntimeError, IndexError) as error:
            raise OpError(self._explained(str(error))) from None

    def _explained(self, text: str) -> str:
        """Return a message for an error of correctionlib, which numbers inputs instead of naming them."""
        found = _ARGUMENT.search(text)
        entry = read_entries(self._path)[self.name]
        name = _name_of(entry, int(found[1])) if found else ""
        if not found or not name:
            return f"correction `{self.name}`: {text}"
        value = found[2]
        if "Category" in text:
            choices = ", ".join(map(str, categories(entry, name)[:12]))
            return f"correction `{self.name}` has no `{name}` = {value}; its values are: {choices}"
        low, high = bin_range(entry, name) or (float("-inf"), float("inf"))
        bins = f"its bins are from {low:g} to {high:g}: limit it, e.g. with minimum(x, …), or correct fewer objects"
        return f"correction `{self.name}`: `{name}` = {float(value):g} is outside of its bins ({bins})"


def _numbers(flat: Sequence[Any]) -> list[Any]:
    """Return for each array of floats with a NaN where it is a number."""
    arrays = [part for part in flat if not is_scalar(part) and part.dtype.kind == "f"]
    with np.errstate(all="ignore"):
        return [~np.isnan(part) for part in arrays if np.isnan(part.sum())]


def _name_of(entry: CorrectionEntry, number: int) -> str:
    """Return the name of an input by its number in a component; empty if components disagree."""
    names = {item.inputs[number] for item in entry.components if number < len(item.inputs)}
    return names.pop() if len(names) == 1 else ""
