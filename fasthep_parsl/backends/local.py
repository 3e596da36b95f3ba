"""Backend ``local``: run tasks one after the other in this process, without Parsl. The reference for other backends."""

from __future__ import annotations

import faulthandler
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from fasthep_parsl.events import Record
from fasthep_parsl.interfaces import Session
from fasthep_parsl.plan import Plan
from fasthep_parsl.tasks import Task, TaskResult


class LocalBackend(BaseModel):
    """Run tasks in this process, one at a time."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @contextmanager
    def open(self, plan: Plan, run_dir: Path, record: Record) -> Iterator[Session]:
        """Yield a session. Starts nothing."""
        del plan, run_dir, record
        if not faulthandler.is_enabled() and sys.__stderr__ is not None:
            with suppress(OSError, ValueError):
                faulthandler.enable(
                    sys.__stderr__, all_threads=False
                )  # a crash in compiled code ends this process: say where
        yield _InProcess()


class _InProcess:
    def submit(self, pool: str, task: Task, priority: int) -> Future[TaskResult]:
        """Run `task` now."""
        from fasthep_parsl.worker.entry import run_task

        del priority
        return self.call(pool, run_task, task)

    def call(self, pool: str, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Call `function` now."""
        del pool
        future: Future[Any] = Future()
        try:
            future.set_result(function(*arguments))
        except Exception as error:  # noqa: BLE001  (any error belongs to the future)
            future.set_exception(error)
        return future

    def slots(self, pool: str) -> int:
        """Return 1: tasks run one at a time."""
        del pool
        return 1
