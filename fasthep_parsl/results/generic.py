"""Write products that are neither histograms nor cutflows: as JSON if possible, else as a pickle."""

from __future__ import annotations

import dataclasses
import json
import math
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fasthep_parsl.atomic import atomic, write_text


class _NotJsonError(TypeError):
    """A part of a product cannot be written as JSON."""


def write_generic(product: Any, path: Path) -> Path:
    """Write `product` to `path` (``….json``), or to ``….pkl`` in the same folder if JSON cannot represent it.

    Dataclasses and pydantic models become objects, tuples, sets and numpy arrays lists, NaN and infinities null.

    Returns
    -------
    Path
        The file that was written.

    Raises
    ------
    OSError
        The folder is not writable or the disk is full.
    """
    try:
        text = json.dumps(plain(product), indent=1, allow_nan=False)
    except _NotJsonError:
        pickled = path.with_suffix(".pkl")
        with atomic(pickled) as draft:
            draft.write_bytes(pickle.dumps(product, protocol=pickle.HIGHEST_PROTOCOL))
        return pickled
    return write_text(path, text + "\n")


def plain(value: Any) -> Any:  # noqa: PLR0911 - one line per type
    """Return `value` as dicts, lists, strings and numbers.

    Raises
    ------
    TypeError
        A part of it has another type.
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Path):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {_key(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((plain(item) for item in value), key=repr)
    for method in ("model_dump", "tolist"):  # pydantic models; numpy arrays, numpy numbers, awkward arrays
        if hasattr(value, method) and not isinstance(value, type):
            converted = getattr(value, method)()
            if converted is not value:
                return plain(converted)
    raise _NotJsonError(type(value).__name__)


def _key(key: Any) -> str:
    if isinstance(key, str):
        return key
    if isinstance(key, int | float):
        return str(key)
    raise _NotJsonError(f"key {key!r}")
