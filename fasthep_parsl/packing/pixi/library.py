"""The library py-rattler, which pixi itself is built on. It and its helpers are the extra ``pixi``, imported when needed."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from types import ModuleType
from typing import Any, TypeVar

from fasthep_parsl.errors import SiteError

T = TypeVar("T")


def load_rattler() -> ModuleType:
    """Import and return py-rattler. Check that the other packages of the extra ``pixi`` are there, before long work.

    Raises
    ------
    SiteError
        One is not installed.
    """
    try:
        import installer  # noqa: F401
        import packaging  # noqa: F401
        import rattler
    except ImportError as error:
        raise SiteError(
            f"environment `packed-pixi` needs packages that cannot be imported ({error}): "
            "`pip install 'fasthep-parsl[pixi]'`"
        ) from None
    found: ModuleType = rattler
    return found


def finished(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end, also if this thread runs an event loop (a notebook)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


def causes(error: BaseException) -> str:
    """Return the message of an error of the library in one line: what failed, and its causes."""
    lines = [line.strip().removeprefix("Caused by: ").rstrip(".") for line in str(error).splitlines() if line.strip()]
    return ": ".join(dict.fromkeys(lines)) or type(error).__name__
