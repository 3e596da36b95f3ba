"""Call a function for several items at once, in threads that do not keep a process from ending."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


def in_parallel(call: Callable[[A], B], items: Sequence[A], most: int) -> list[B]:
    """Return the results in the order of `items`; raise the first error.

    Python's pools of threads would be waited for when the process ends, also if a server has stopped answering.

    Parameters
    ----------
    call : callable
        Called with each item.
    items : sequence
        The items.
    most : int
        Number of threads.
    """
    if len(items) < 2:
        return [call(item) for item in items]
    waiting: SimpleQueue[tuple[A, Future[B]]] = SimpleQueue()
    found: list[Future[B]] = [Future() for _ in items]
    for work in zip(items, found, strict=True):
        waiting.put(work)

    def run() -> None:
        while True:
            try:
                item, result = waiting.get_nowait()
            except Empty:
                return
            try:
                result.set_result(call(item))
            except BaseException as error:  # noqa: BLE001 - raised where the result is used
                result.set_exception(error)

    for _ in range(min(most, len(items))):
        threading.Thread(target=run, name="storage", daemon=True).start()
    return [result.result() for result in found]
