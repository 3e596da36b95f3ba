"""Partial products of tasks, as files. Needs no array library: the driver reads them too."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from fasthep_parsl.atomic import atomic
from fasthep_parsl.errors import FastHepError


class StoreError(FastHepError):
    """A file that a task left for another is missing or is not what was written."""


def save_products(path: Path, products: dict[str, Any]) -> str:
    """Write products (stage id → product) atomically and return the path."""
    with atomic(path) as draft:
        draft.write_bytes(pickle.dumps(products, protocol=5))
    return str(path)


def load_products(path: str | Path) -> dict[str, Any]:
    """Read what `save_products` wrote.

    Raises
    ------
    StoreError
        The file is missing or damaged.
    """
    try:
        return pickle.loads(Path(path).read_bytes())  # type: ignore[no-any-return]  # noqa: S301  (written by this run)
    except (OSError, EOFError, pickle.UnpicklingError, AttributeError, ImportError) as error:
        raise StoreError(f"products of this run cannot be read: {path}: {error}") from error
