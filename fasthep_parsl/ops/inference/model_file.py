"""What a model takes and gives, read from its file without the package that evaluates it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

ModelKind = Literal["onnx", "xgboost"]


class ModelFileError(ValueError):
    """A file is not a model that can be evaluated.

    Parameters
    ----------
    message : str
        What is wrong, to follow the name of the file.
    hint : str
        What to do.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True)
class ModelPort:
    """An input or output of a model.

    Attributes
    ----------
    name : str
        Its name.
    dtype : str
        Type of its numbers, as NumPy names it; empty if it is not an array of numbers.
    shape : tuple of (int or None), or None
        Length of each dimension, None if it is not fixed. The first one is the rows. None: unknown.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None = None

    @property
    def width(self) -> int | None:
        """Numbers per row; None if it is unknown."""
        if self.shape is None:
            return None
        return 1 if len(self.shape) < 2 else self.shape[1]

    @property
    def rows(self) -> int | None:
        """Number of rows that it takes at once, None if any."""
        return self.shape[0] if self.shape else None


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a model takes and gives.

    Attributes
    ----------
    kind : "onnx" or "xgboost"
        Package that evaluates it.
    inputs, outputs : tuple of ModelPort
        Its inputs and outputs. A model of XGBoost has one input.
    features : tuple of str
        Names of the features of its only input; empty if it has none.
    """

    kind: ModelKind
    inputs: tuple[ModelPort, ...]
    outputs: tuple[ModelPort, ...]
    features: tuple[str, ...] = ()


def read_model(path: Path) -> ModelFacts:
    """Return what a model takes and gives. An unchanged file is read once.

    Raises
    ------
    ModelFileError
        It is not a model.
    OSError
        It cannot be read.
    """
    stat = path.stat()
    return _read(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=16)
def _read(path: Path, _mtime: int, _size: int) -> ModelFacts:
    from fasthep_parsl.ops.inference.onnx_header import onnx_facts
    from fasthep_parsl.ops.inference.xgboost_header import xgboost_facts

    content = path.read_bytes()
    return xgboost_facts(content) if content[:1] == b"{" else onnx_facts(content)
