"""Execution of a plan: run its tasks, write the results, and summarise. Every ending of a run has an outcome."""

from __future__ import annotations

import _thread
import contextlib
import logging
import os
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Literal

from fasthep_parsl import registry
from fasthep_parsl.atomic import close_drafts
from fasthep_parsl.blocks.block_folder import sweep
from fasthep_parsl.driver import resume, summary
from fasthep_parsl.driver.consistency import check_products
from fasthep_parsl.driver.credential_gate import CredentialGate
from fasthep_parsl.driver.credential_keeper import CredentialKeeper, keeper
from fasthep_parsl.driver.driver_process import this_driver
from fasthep_parsl.driver.lock import LockLostError
from fasthep_parsl.driver.normalised import accepted
from fasthep_parsl.driver.op_output import join_output
from fasthep_parsl.driver.outcome import EXIT_CODES, RunOutcome, why_incomplete
from fasthep_parsl.driver.outputs import settle_targets
from fasthep_parsl.driver.partial_products import ConsistencyError
from fasthep_parsl.driver.run_directory import RunDirectory
from fasthep_parsl.driver.run_results import RunResults
from fasthep_parsl.driver.scheduler import Scheduler
from fasthep_parsl.driver.segment_state import SegmentState
from fasthep_parsl.driver.worker_setups import prepared_setups
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
from fasthep_parsl.plan import Plan
from fasthep_parsl.report import NAME as REPORT
from fasthep_parsl.report import write_report
from fasthep_parsl.results import preload
from fasthep_parsl.room import DiskFullError, full_message, is_full
from fasthep_parsl.setup_folder import SetupProgress
from fasthep_parsl.signals import terminable, undisturbed
from fasthep_parsl.worker import trail

log = logging.getLogger(__name__)


class PlanRun:
    """One execution of a plan in a run directory.

    Parameters
    ----------
    plan : Plan
        The plan.
    directory : RunDirectory
        The run directory, prepared for the plan.
    plots : bool
        Whether to draw histograms.
    observer : callable, optional
        Called with each event of the run.
    preparing : callable, optional
        Called with the progress of worker setups.
    """

    def __init__(
        self,
        plan: Plan,
        directory: RunDirectory,
        *,
        plots: bool,
        observer: Observer | None,
        preparing: SetupProgress | None = None,
    ) -> None:
        self.plan = plan
        self.directory = directory
        self.plots = plots
        self.observer = observer
        self.preparing = preparing
        self.tally = summary.Tally(plan)
        self.error = ""
        self.began = time.monotonic()
        self.results = RunResults(plan, directory.path, plots=plots)
        self.preloading = False
        self.refused = False
        self.lock = directory.lock
        self.keeper: CredentialKeeper | None = None
        self.session = os.urandom(4).hex()
        self.damaged = 0

    def execute(self) -> RunOutcome:
        """Run the plan and write its results. ``run.json`` is always written."""
        path = self.directory.path
        states, first = self._states()
        allowed = self.lock.held if self.lock is not None else None
        with terminable(), EventLog(path / "events.jsonl", self._observe, allowed) as record:
            state: Literal["resumed", "started"] = "resumed" if self.directory.resumed else "started"
            record(RunStarted(state=state, plan=self.plan.hash, session=self.session, **asdict(this_driver())))
            status: RunStatus = "interrupted"
            try:
                status = self._compute(states, first, record)
                self._check_lock()
                self.results.write(states)
                status, self.error = accepted(self.results.normalisation, status, self.error)
                ended = [stage for state in states if state.complete for stage in state.segment.stages]
                settle_targets(self.plan, path, ended, self.results.products)
            except KeyboardInterrupt:
                self.error, status = "interrupted", "interrupted"
            except LockLostError:
                raise
            except (FastHepError, OSError) as error:
                reason = full_message(error, path) if is_full(error) else str(error)
                self.error, status = f"results could not be written: {reason}", "failed"
            self._check_lock()
            with undisturbed():
                outcome = self._conclude(states, status)
                record(RunEnded(status=outcome.status, exit_code=outcome.exit_code))
                _report(path, self.plan)
        return outcome

    def _check_lock(self) -> None:
        if self.lock is not None:
            self.lock.check()

    def _start_threads(self) -> None:
        """Start the threads that keep the lock and the credentials. Until then the backend may fork this process."""
        self._keep_lock()
        if self.keeper is not None:
            self.keeper.start()

    def _keep_lock(self) -> None:
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
            self._start_threads()
        if isinstance(event, TaskSubmitted) and self.plots and not self.preloading and self.plan.backend != "local":
            self.preloading = True  # imports take seconds, and the workers are not up yet
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
                path = self.directory.path
                if self.plan.credentials or (self.plan.environment and self.plan.backend != "local"):
                    self._keep_lock()  # preparing them can take long
                credentials = keeper(self.plan, path, record)
                with (
                    prepared_setups(self.plan, path, self.preparing),
                    credentials as self.keeper,
                    backend.open(self.plan, path, record) as session,
                ):
                    gate = CredentialGate(self.plan, self.keeper)
                    Scheduler(self.plan, path, checked, states, first, self.session, gate).run(session)
                    self._check_lock()
                    self.results.write_beside(session, states)
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
        except ConsistencyError as error:
            self.error = str(error)
            return "failed"

    def _status(self, states: list[SegmentState]) -> RunStatus:
        for state in states:
            if state.segment.scope == "partition" and state.product:
                check_products(state.segment, state.partials.spans(), state.done)
        failed = any(state.failures or state.blocked for state in states)
        if not failed and not summary.missing_partitions(states, self.plan):
            return "complete"
        return "partial" if any(state.product for state in states) else "failed"

    def _conclude(self, states: list[SegmentState], status: RunStatus) -> RunOutcome:
        trail.forget(self.directory.path)
        missing = summary.missing_partitions(states, self.plan)
        self.directory.release()
        if status == "complete":  # stored streams can be as large as the input
            shutil.rmtree(self.directory.path / "work" / "streams", ignore_errors=True)
        if missing:
            with contextlib.suppress(DiskFullError):  # it can be long; `run.json` and the event log need the space
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
        normalisation = self.results.normalisation
        content["normalisation"] = normalisation.summary()
        content["warnings"] += [*normalisation.warnings(self.error), *self.results.fit_notes]
        content["warnings"] += [*self.results.range_notes, *self._write_notes()]
        content["output"] = join_output(self.directory.path, [stage.id for stage in self.plan.stages])
        if self.damaged:
            content["warnings"].append(
                f"events.jsonl had {self.damaged} damaged line{'s' * (self.damaged > 1)}: the tasks in them were repeated"
            )
        self.directory.write_json("run.json", content)
        close_drafts(self.directory.path)
        return RunOutcome(
            status, exit_code, self.directory.path, self.results.results, content, why_incomplete(content)
        )

    def _write_notes(self) -> list[str]:
        """Write the notes of modifiers; return why that failed, which does not change the status of the run."""
        problems = []
        for kind, notes in self.tally.notes().items():
            try:
                registry.load("modifiers", kind).write(notes, self.directory.path / kind)
            except Exception as error:  # noqa: BLE001  (modifiers may come from other packages)
                problems.append(f"notes of modifier `{kind}` could not be written: {error}")
        return problems


def _report(path: Path, plan: Plan) -> None:
    """Write the report. The run is what it is without it: it can be written again, e.g. when the disk has room."""
    try:
        write_report(path, alive=False, plan=plan)
    except Exception as error:  # noqa: BLE001 - a page must not cost the results
        log.warning("%s was not written (%s); `fasthep-parsl report` writes it", path / REPORT, error)


def _preload() -> None:
    """Import the libraries that write results; an import error is raised again when they are used."""
    with contextlib.suppress(ImportError):
        preload()
