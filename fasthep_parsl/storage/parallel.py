"""Call a function for several items at once, in threads that do not keep a process from ending.

Python waits for its pools of threads when a process ends, also if a server has stopped answering one of them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


def in_parallel(call: Callable[[A], B], items: Sequence[A], most: int) -> Iterator[B]:
    """Yield the results in the order of `items`; raise the first error.

    When the iterator is closed, or an error is raised, calls that have not begun are left out, and those under way are
    not waited for.

    Parameters
    ----------
    call : callable
        Called with each item.
    items : sequence
        The items.
    most : int
        Number of threads.
    """
    if len(items) == 1:
        yield call(items[0])
        return
    waiting: SimpleQueue[tuple[A, Future[B]]] = SimpleQueue()
    found: list[Future[B]] = [Future() for _ in items]
    for work in zip(items, found, strict=True):
        waiting.put(work)
    arguments = (call, waiting)
    threads = [threading.Thread(target=_work, args=arguments, daemon=True) for _ in range(min(most, len(items)))]
    for thread in threads:
        thread.start()
    try:
        for number, result in enumerate(found):
            yield result.result()
            found[number] = Future()  # a result may be large: it is not kept here
    finally:
        while _next(waiting) is not None:
            pass
    for thread in threads:
        thread.join()  # they have nothing left; a process with threads is not forked


def _work(call: Callable[[A], B], waiting: SimpleQueue[tuple[A, Future[B]]]) -> None:
    while (work := _next(waiting)) is not None:
        item, result = work
        try:
            result.set_result(call(item))
        except BaseException as error:  # noqa: BLE001 - raised where the result is used
            result.set_exception(error)


def _next(waiting: SimpleQueue[tuple[A, Future[B]]]) -> tuple[A, Future[B]] | None:
    try:
        return waiting.get_nowait()
    except Empty:
        return None
