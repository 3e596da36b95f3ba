"""A probe of a site: run one task on each pool in the same way as a run; report the node and the times."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path

from fasthep_parsl import registry
from fasthep_parsl.analysis_code.handshake import differences, expected_software
from fasthep_parsl.analysis_code.software import software
from fasthep_parsl.atomic import write_text
from fasthep_parsl.blocks.node_checks import GPU_VARIABLES
from fasthep_parsl.driver.run_directory import MARKER
from fasthep_parsl.driver.site_checks.sample import Check, SampledSite
from fasthep_parsl.driver.worker_setups import prepared_setups
from fasthep_parsl.errors import FastHepError
from fasthep_parsl.events import BlockChanged, Event, EventLog
from fasthep_parsl.plan import Plan, PlanPool, PlanSource
from fasthep_parsl.resources.units import format_duration, format_memory
from fasthep_parsl.signals import terminable
from fasthep_parsl.version import __version__
from fasthep_parsl.worker.probe import WorkerFacts, describe_worker

SHOWN = ("numpy", "awkward", "uproot", "numba")
"""Packages whose versions are shown."""
PERIOD = 0.2
"""Seconds between two checks of the tasks."""
BAD = ("refused", "failed")
"""States of a block that make a probe fail. A run would try again."""

Report = Callable[[Check], object]
Progress = Callable[[str], None]


class _BlockTimes:
    """Times and failures of the blocks of each pool, from events."""

    def __init__(self, pools: Sequence[PlanPool]) -> None:
        self._lock = threading.Lock()
        self.began: dict[str, float] = {}
        self.running: dict[str, float] = {}
        self.up: dict[str, float] = {}
        self.reason: dict[str, str] = {}
        self.bad: dict[str, BlockChanged] = {}
        self.batch = {pool.name for pool in pools if pool.block}

    def __call__(self, event: Event) -> None:
        if not isinstance(event, BlockChanged):
            return
        now, pool, state = time.monotonic(), event.pool, event.state
        with self._lock:
            if state == "submitted":
                self.began.setdefault(pool, now)
            elif state == "waiting":
                self.reason[pool] = event.message
            elif state == "running":
                self.running.setdefault(pool, now)
            elif state == "up":
                self.up.setdefault(pool, now)
            elif state in BAD:
                self.bad.setdefault(pool, event)

    def durations(self, pool: str) -> str:
        """Return how long a block was queued, and how long its workers took to start; empty on this machine."""
        began, running = self.began.get(pool), self.running.get(pool)
        if began is None:
            return ""
        up = self.up.get(pool, time.monotonic())
        if running is not None and running < up:
            return f"queued {running - began:.0f} s, workers up {up - running:.0f} s later"
        return f"workers up {up - began:.0f} s after submission"  # before the batch system was queried

    def waits(self, pool: str) -> str:
        """Return the state of the block of a pool, with the reason why it waits."""
        if pool in self.running or pool in self.up or pool not in self.batch:
            return f"{pool}: starting"
        return f"{pool}: queued" + (f" ({self.reason[pool]})" if self.reason.get(pool) else "")


def probe(
    site: SampledSite, pools: Sequence[PlanPool], folder: Path, wait: float, report: Report, progress: Progress
) -> None:
    """Run one task on each pool, all at the same time, and end everything that was started.

    Parameters
    ----------
    site : SampledSite
        The site.
    pools : sequence of PlanPool
        The pools; at most one for each port.
    folder : Path
        Used as the run directory; must not exist.
    wait : float
        Longest time until a task has ended, seconds.
    report, progress : callable
        See `check_live`.
    """
    plan = Plan(
        name="sites check",
        site=site.site.name,
        chunk_size=1,
        source=PlanSource(),
        stages=(),
        segments=(),
        pools=tuple(pools),
        environment=site.environment,
        credentials=site.credentials,
        software=software((), ()),
    )
    times = _BlockTimes(pools)
    for name in ("log", "code"):  # blocks transfer them to nodes that do not see this folder, as in a run
        (folder / name).mkdir(parents=True)
    write_text(folder / MARKER, plan.model_dump_json())
    try:
        with (
            terminable(),
            prepared_setups(plan, folder, _Changes(progress)),
            EventLog(folder / "events.jsonl", times) as record,
            registry.load("backends", "parsl")().open(plan, folder, record) as session,
        ):
            tasks = {pool.name: session.call(pool.name, describe_worker, GPU_VARIABLES) for pool in pools}
            _await(plan, tasks, times, folder, wait, report, progress)
    except FastHepError as error:
        report(Check(False, "probe", str(error)))


class _Changes:
    """Passes the text of each step of a preparation on, once."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._text = ""

    def __call__(self, text: str, _done: int, _total: int) -> None:
        if text != self._text:
            self._text = text
            self._progress(text)


def _await(
    plan: Plan,
    tasks: dict[str, Future[WorkerFacts]],
    times: _BlockTimes,
    folder: Path,
    wait: float,
    report: Report,
    progress: Progress,
) -> None:
    until, before = time.monotonic() + wait, ""
    while tasks and time.monotonic() < until:
        for name in list(tasks):
            if tasks[name].done() or name in times.bad:
                report(_outcome(plan, plan.pool(name), tasks.pop(name), times, folder))
        shown = ", ".join(times.waits(name) for name in tasks)
        if shown != before:
            progress(shown)
            before = shown
        time.sleep(PERIOD)
    for name in tasks:
        hint = "the queue may be full: wait longer with --wait"
        report(Check(False, f"probe {name}", f"no answer after {format_duration(wait)}; {times.waits(name)}", hint))


def _outcome(plan: Plan, pool: PlanPool, task: Future[WorkerFacts], times: _BlockTimes, folder: Path) -> Check:
    what = f"probe {pool.name}"
    if not task.done():
        blocks = folder / "log" / "blocks" / pool.name
        return Check(False, what, _trouble(times.bad[pool.name], blocks), f"its output: {blocks}")
    error = task.exception()
    if error is not None:
        return Check(False, what, str(error) or type(error).__name__)
    facts = task.result()
    wrong, hint = _unfit(pool, facts, folder / "log" / "blocks" / pool.name)
    if wrong:
        return Check(False, what, wrong, hint)
    return Check(True, what, f"{_described(pool, facts, times.durations(pool.name))}{_permitted(plan, facts)}")


def _trouble(event: BlockChanged, blocks: Path) -> str:
    """Return the message of the batch system, and the last errors of the block if it has run."""
    path = blocks / f"block.{event.block}.err"
    errors = path.read_text(errors="replace").strip().splitlines()[-5:] if path.exists() else []
    where = f"job {event.job}" if event.job else "the job was refused"
    where += f" on {event.node}" if event.node else ""
    return "\n".join([f"{where}: {event.message or 'ended'}", *errors])


def _unfit(pool: PlanPool, facts: WorkerFacts, blocks: Path) -> tuple[str, str]:
    """Return why tasks would fail on such a worker, and a hint."""
    where = f"{facts.node}: "
    if facts.package != __version__:
        found = f"{where}fasthep-parsl {facts.package} ({facts.executable}), here it is {__version__}"
        return found, "install the same version there"
    if pool.gpus and not facts.devices:
        return f"{where}the worker sees no GPU", "check how the strategy requests GPUs"
    warned = [line for path in blocks.glob("block.*.err") for line in path.read_text(errors="replace").splitlines()]
    scratch = next((line for line in warned if "warning: scratch folder" in line), "")
    if scratch:
        return scratch.removeprefix("fasthep-parsl: "), "set `scratch` to a folder on the disk of a node"
    if not facts.writable:
        return f"{where}{facts.folder} is not writable", "set `scratch` to a folder on the disk of a node"
    return "", ""


def _described(pool: PlanPool, facts: WorkerFacts, times: str) -> str:
    node = facts.node if facts.node == facts.host else f"{facts.node} ({facts.host})"
    parts = [
        f"{node}: Python {facts.python}, Parsl {facts.parsl}, fasthep-parsl {facts.package}",
        *(f"{name} {facts.facts.software.get(name) or 'none'}" for name in SHOWN if facts.facts),
        facts.facts.platform if facts.facts else "",
        ", ".join(facts.gpus) or (f"GPU {facts.devices}" if facts.devices else "no GPU"),
        f"{format_memory(facts.free)} free in {facts.folder}" if pool.scratch else "",
        times,
    ]
    return ", ".join(part for part in parts if part)


def _permitted(plan: Plan, facts: WorkerFacts) -> str:
    """Return the differences from the driver's software that the environment permits."""
    found = differences(expected_software(plan), facts.facts.software) if facts.facts else ()
    return f"; {', '.join(map(str, found))}; permitted by `allow`" if found else ""
