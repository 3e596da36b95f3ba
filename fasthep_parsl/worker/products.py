"""Products of a task: merged in the order of events, and written to a file for the driver."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

from fasthep_parsl.errors import OpError
from fasthep_parsl.plan import PlanSegment
from fasthep_parsl.tasks import Failure, Span, Task
from fasthep_parsl.worker.failures import merge_failure, unwritable
from fasthep_parsl.worker.meter import Meter
from fasthep_parsl.worker.partials import save_parts
from fasthep_parsl.worker.program import Program
from fasthep_parsl.worker.sums import Sums


def unique_name(task: Task) -> str:
    """Return a name for the files of a task that no other task of the run has, also after a resume."""
    return f"{task.id:06d}-{task.session}" if task.session else f"{task.id:06d}"


class Products:
    """The products of a segment's stages in one task.

    Parameters
    ----------
    task : Task
        The task.
    program : Program
        The plan with its code.
    segment : PlanSegment
        The segment.
    meter : Meter
        Measures the time of merges.

    Attributes
    ----------
    sums : Sums
        The products so far.
    path, size, whole
        The written file, its size, and whether it contains the merged products; ``""``, 0 and False before.
    """

    def __init__(self, task: Task, program: Program, segment: PlanSegment, meter: Meter) -> None:
        self._task = task
        self._program = program
        self._segment = segment
        self._meter = meter
        self.sums = Sums(self._join, self._failure, self._end())
        self.path, self.size, self.whole = "", 0, False

    @property
    def parts(self) -> tuple[tuple[Span, ...], ...]:
        """Partitions of each part that was written."""
        return tuple(part.spans for part in self.sums.parts) if self.path else ()

    def save(self) -> None:
        """Write the products. Products that cannot be pickled are left out."""
        if not self._some():
            return
        folder = Path(self._task.run_dir) / "work" / "products"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self._task.kind}-{self._segment.id}-{unique_name(self._task)}.pkl"
        try:
            self._write(path)
        except (OSError, MemoryError):
            raise
        except Exception:  # noqa: BLE001  (pickling can raise any error)
            self._leave_out_unwritable()
            if self._some():
                self._write(path)

    def _some(self) -> bool:
        """Return whether there is something to write: products, or partitions for which no stage applies."""
        return any(part.products for part in self.sums.parts) or bool(self.sums.parts and not self.sums.broken)

    def _write(self, path: Path) -> None:
        whole = None
        if self._task.final and len(self.sums.parts) > 1:
            copy = pickle.loads(pickle.dumps(self.sums.parts, protocol=5))  # noqa: S301  (a merge may change its arguments)
            ours, self.sums.parts = self.sums.parts, copy
            whole = self.sums.whole()
            self.sums.parts = [
                replace(part, products={s: p for s, p in part.products.items() if s not in self.sums.broken})
                for part in ours
            ]
        self.size = save_parts(path, self.sums.parts, whole)
        self.path, self.whole = str(path), whole is not None

    def _leave_out_unwritable(self) -> None:
        for stage in {stage for part in self.sums.parts for stage in part.products}:
            try:
                pickle.dumps([part.products.get(stage) for part in self.sums.parts], protocol=5)
            except Exception as error:  # noqa: BLE001
                self.sums.leave_out(stage, unwritable(stage, self._program.plan.stage(stage).op, error))

    def _join(self, stage: str, left: Any, right: Any) -> Any:
        """Merge two products of a stage."""
        with self._meter.measure("merge"):
            found = self._program.merge(stage)(left, right)
        if found is None and left is not None:
            raise OpError("it returned None instead of a product")
        return found

    def _failure(self, stage: str, error: Exception) -> Failure:
        op = self._program.plan.stage(stage).op
        return merge_failure(stage, op, self._program.merge(stage), self._program.module(stage), error)

    def _end(self) -> int:
        """Return the number of partitions or calls, which determine the order of products."""
        plan = self._program.plan
        if self._segment.scope == "partition":
            return plan.partitions
        return max(len(plan.datasets), 1) if self._segment.scope == "dataset" else 1
