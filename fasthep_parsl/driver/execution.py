"""One execution of a plan: computed, written, summed up; whatever happens there is an outcome."""

from __future__ import annotations

import _thread
import contextlib
import os
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from fasthep_parsl import registry
from fasthep_parsl.atomic import close_drafts
from fasthep_parsl.blocks.block_folder import sweep
from fasthep_parsl.driver import resume, summary
from fasthep_parsl.driver.audit import check_all
from fasthep_parsl.driver.lock import LockLostError
from fasthep_parsl.driver.outputs import settle_targets
from fasthep_parsl.driver.presence import this_driver
from fasthep_parsl.driver.rundir import RunDirectory
from fasthep_parsl.driver.said import join_output
from fasthep_parsl.driver.scheduler import Scheduler
from fasthep_parsl.driver.shelf import BookkeepingError
from fasthep_parsl.driver.state import SegmentState
from fasthep_parsl.driver.verdict import why
from fasthep_parsl.driver.worker_setups import prepare_setups, secrets_removed_after
from fasthep_parsl.errors import FastHepError, SiteError
from fasthep_parsl.events import (
    Event,
    EventLog,
    Observer,
    PoolChanged,
    RunEnded,
    RunStarted,
    RunStatus,
    TaskSubmitted,
    read_events,
)
from fasthep_parsl.interfaces import DatasetInfo, Session
from fasthep_parsl.plan import Plan
from fasthep_parsl.results import preload, read_products, write_numbers_of, write_pictures, write_results
from fasthep_parsl.room import DiskFullError, full_words, is_full
from fasthep_parsl.signals import terminable, undisturbed
from fasthep_parsl.worker import trail

EXIT_CODES: Mapping[RunStatus, int] = {"complete": 0, "failed": 1, "partial": 3, "interrupted": 130}


@dataclass(frozen=True)
class RunOutcome:
    """What came of a run.

    Attributes
    ----------
    status : str
        ``complete``, ``partial`` (some events are missing, results of the rest are there), ``failed`` or
        ``interrupted``.
    exit_code : int
        0, 3, 1 or 130; 4 if jobs were left in the queue of a batch system (`summary["left"]`), whatever the status.
    run_dir : Path
        The run directory.
    products : dict
        (stage id, product name) → product.
    summary : dict
        The content of ``run.json``.
    error : str
        Why it is not complete, empty if it is.
    """

    status: RunStatus
    exit_code: int
    run_dir: Path
    products: dict[tuple[str, str], Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    error: str = ""


class PlanRun:
    """One execution of a plan in a run directory.

    Parameters
    ----------
    plan : Plan
        What to do.
    directory : RunDirectory
        Prepared for it.
    plots : bool
        Whether to draw histograms.
    observer : callable, optional
        Called with each event of the run.
    """

    def __init__(self, plan: Plan, directory: RunDirectory, *, plots: bool, observer: Observer | None) -> None:
        self.plan = plan
        self.directory = directory
        self.plots = plots
        self.observer = observer
        self.tally = summary.Tally(plan)
        self.error = ""
        self.began = time.monotonic()
        self.products: dict[tuple[str, str], Any] = {}
        self.written = False
        self.preloading = False
        self.refused = False
        self.lock = directory.lock
        self.session = os.urandom(4).hex()
        self.damaged = 0

    def execute(self) -> RunOutcome:
        """Run, write results, write ``run.json``; always."""
        path = self.directory.path
        states, first = self._states()
        allowed = self.lock.held if self.lock is not None else None
        with terminable(), EventLog(path / "events.jsonl", self._observe, allowed) as record:
            state: Literal["resumed", "started"] = "resumed" if self.directory.resumed else "started"
            record(RunStarted(state=state, plan=self.plan.hash, session=self.session, **this_driver()))
            status: RunStatus = "interrupted"
            try:
                status = self._compute(states, first, record)
                self._check_lock()
                self._write_results(states)
                ended = [stage for state in states if state.complete for stage in state.segment.stages]
                settle_targets(self.plan, path, ended, self.products)
            except KeyboardInterrupt:
                self.error, status = "interrupted", "interrupted"
            except LockLostError:
                raise
            except (FastHepError, OSError) as error:
                said = full_words(error, path) if is_full(error) else str(error)
                self.error, status = f"results could not be written: {said}", "failed"
            self._check_lock()
            with undisturbed():
                outcome = self._conclude(states, status)
                record(RunEnded(status=outcome.status, exit_code=outcome.exit_code))
        return outcome

    def _check_lock(self) -> None:
        if self.lock is not None:
            self.lock.check()

    def _keep_lock(self) -> None:
        """Give signs of life from now on; a thread does that, and until then the backend may fork this process."""

        def stop() -> None:
            if main:
                _thread.interrupt_main()

        main = threading.current_thread() is threading.main_thread()
        if self.lock is not None:
            self.lock.keep(stop)

    def _states(self) -> tuple[list[SegmentState], int]:
        if not self.directory.resumed:
            return [SegmentState(self.plan, segment) for segment in self.plan.segments], 0
        sweep()
        return resume.restore(self.plan, self._earlier_events())

    def _earlier_events(self) -> Iterator[Event]:
        """Yield the events of the run that is resumed, and count them."""

        def count(_line: int) -> None:
            self.damaged += 1

        path = self.directory.path / "events.jsonl"
        for event in read_events(path, count) if path.exists() else ():
            self.tally(event)
            yield event

    def _observe(self, event: Event) -> None:
        self.tally(event)
        if isinstance(event, PoolChanged | TaskSubmitted):
            self._keep_lock()
        if isinstance(event, TaskSubmitted) and self.plots and not self.preloading and self.plan.backend != "local":
            self.preloading = True  # imports take seconds, and now workers need time to come up
            threading.Thread(target=_preload, name="preload-results", daemon=True).start()
        if self.observer is not None:
            self.observer(event)

    def _compute(self, states: list[SegmentState], first: int, record: EventLog) -> RunStatus:
        def checked(event: Event) -> None:
            self._check_lock()
            record(event)

        try:
            if not all(state.complete for state in states):
                backend = registry.load("backends", self.plan.backend)()
                with secrets_removed_after(self.directory.path):
                    self._prepare()
                    with backend.open(self.plan, self.directory.path, record) as session:
                        Scheduler(self.plan, self.directory.path, checked, states, first, self.session).run(session)
                        self._check_lock()
                        self._finish_with(session, states)
        except KeyboardInterrupt:
            self.error = "interrupted"
            return "interrupted"
        except LockLostError:
            raise
        except FastHepError as error:
            self.error = str(error)
            self.refused = isinstance(error, SiteError)
            return "partial" if any(state.product for state in states) else "failed"
        try:
            return self._status(states)
        except BookkeepingError as error:
            self.error = str(error)
            return "failed"

    def _prepare(self) -> None:
        """Prepare what workers need, before the first of them starts."""
        if (self.plan.environment or self.plan.credentials) and self.plan.backend != "local":
            self._keep_lock()
            prepare_setups(self.plan, self.directory.path)

    def _finish_with(self, session: Session, states: list[SegmentState]) -> None:
        """Let a worker, which has imported everything, write the numbers while pictures are drawn here."""
        pool = next((state.segment.pool for state in states if state.product), "")
        if not pool or not self.plan.pool(pool).shared:  # else a worker cannot write here
            return
        products = (self._files(states), self._names(), self.directory.path, self._datasets())
        numbers = session.call(pool, write_numbers_of, *products)
        if self.plots:
            self._load_products(states)
            write_pictures(self.products, self.directory.path, self._datasets())
        with contextlib.suppress(Exception):  # if the worker is gone, the driver writes them itself
            numbers.result()
            self.written = True

    def _status(self, states: list[SegmentState]) -> RunStatus:
        check_all(states)
        failed = any(state.failures or state.blocked for state in states)
        if not failed and not summary.missing_partitions(states, self.plan):
            return "complete"
        return "partial" if any(state.product for state in states) else "failed"

    def _load_products(self, states: list[SegmentState]) -> None:
        self.products = read_products(self._files(states), self._names(), self._datasets())

    @staticmethod
    def _files(states: list[SegmentState]) -> list[str]:
        return [state.product for state in states if state.product]

    def _names(self) -> dict[str, str]:
        return {stage.id: stage.product for stage in self.plan.stages}

    def _datasets(self) -> list[DatasetInfo]:
        return [DatasetInfo(d.name, d.eventtype, d.group, d.meta) for d in self.plan.datasets]

    def _write_results(self, states: list[SegmentState]) -> None:
        """Write the products of complete segments; partial sums of an interrupted run stay in ``work``."""
        if not self.products:
            self._load_products(states)
        if self.products and not self.written:
            write_results(self.products, self.directory.path, datasets=self._datasets(), plots=self.plots)

    def _conclude(self, states: list[SegmentState], status: RunStatus) -> RunOutcome:
        trail.forget(self.directory.path)
        missing = summary.missing_partitions(states, self.plan)
        self.directory.release()
        if status == "complete":  # stored streams may be as large as the input, and nobody needs them any more
            shutil.rmtree(self.directory.path / "work" / "streams", ignore_errors=True)
        if missing:
            with contextlib.suppress(DiskFullError):  # long lists; `run.json` and the event log must have room
                self.directory.write_json("missing.json", summary.missing_fileset(self.plan, missing))
        else:
            (self.directory.path / "missing.json").unlink(missing_ok=True)
        refused = self.tally.blocks.left() or (self.refused and status == "failed")
        exit_code = SiteError.exit_code if refused else EXIT_CODES[status]
        content = summary.run_summary(
            self.plan,
            states,
            self.tally,
            status=status,
            exit_code=exit_code,
            error=self.error,
            seconds=round(time.monotonic() - self.began, 3),
        )
        content["warnings"] += self._write_notes()
        content["output"] = join_output(self.directory.path, [stage.id for stage in self.plan.stages])
        if self.damaged:
            content["warnings"].append(
                f"events.jsonl had {self.damaged} damaged line{'s' * (self.damaged > 1)}: what they told was done again"
            )
        self.directory.write_json("run.json", content)
        close_drafts(self.directory.path)
        return RunOutcome(status, exit_code, self.directory.path, self.products, content, why(content))

    def _write_notes(self) -> list[str]:
        """Write what modifiers have noted; if that fails, the run is what it is."""
        problems = []
        for kind, notes in self.tally.notes().items():
            try:
                registry.load("modifiers", kind).write(notes, self.directory.path / kind)
            except Exception as error:  # noqa: BLE001  (a modifier may be anybody's)
                problems.append(f"what modifier `{kind}` has noted could not be written: {error}")
        return problems


def _preload() -> None:
    """Import what results need while workers compute; not being able to is found out later."""
    with contextlib.suppress(ImportError):
        preload()
