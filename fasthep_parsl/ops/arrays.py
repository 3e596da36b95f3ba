"""Lazy imports of awkward (`ak`) and numpy (`np`), so that planning does not import them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any


class _Deferred:
    """A module that is imported when one of its attributes is first used."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        value = getattr(importlib.import_module(self._name), attribute)
        setattr(self, attribute, value)
        return value


if TYPE_CHECKING:
    import awkward as ak
    import numpy as np
else:
    ak = _Deferred("awkward")
    np = _Deferred("numpy")

__all__ = ["ak", "np"]
