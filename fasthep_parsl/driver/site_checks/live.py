"""``sites check --live``: query the batch system, then run one task on each queue in the same way as a run."""

from __future__ import annotations

import contextlib
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fasthep_parsl.blocks import acceptance
from fasthep_parsl.blocks.network import meeting_point
from fasthep_parsl.driver.site_checks.probe import Progress, Report, probe
from fasthep_parsl.driver.site_checks.sample import Check, SampledSite
from fasthep_parsl.errors import SiteError
from fasthep_parsl.plan import PlanBlock, PlanPool
from fasthep_parsl.resources.units import format_duration, format_memory


def check_live(sampled: SampledSite, folder: Path, wait: float, report: Report, progress: Progress) -> bool:
    """Check a site on its batch system; return whether all checks succeeded. Everything that it starts is removed.

    Parameters
    ----------
    sampled : SampledSite
        Result of `sample_site`, without failed checks.
    folder : Path
        Folder of future run directories. A folder is made in it and removed.
    wait : float
        Longest time until a task has ended, seconds.
    report : callable
        Called with each check.
    progress : callable
        Called with a line about the tasks that have not ended, whenever it changes.
    """
    collected = _Collected(report)
    pools = [pool for pool in sampled.pools if _commands(pool, collected)]
    made = _run_folder(folder, collected)
    if made is not None:
        with _removed(made, collected):
            largest = {pool.name: pool for pool in sampled.largest}
            pools = [pool for pool in pools if _accepted(pool, largest.get(pool.name), made, collected)]
            pools = [pool for pool in pools if _address(pool, collected)]
            for number, group in enumerate(_groups(pools)):
                probe(sampled, group, made / f"probe.{number}", wait, collected, progress)
    return collected.ok


def _groups(pools: Sequence[PlanPool]) -> list[list[PlanPool]]:
    """Group pools that can be up at the same time. Each needs a port."""
    ports = next((pool.network.ports for pool in pools), None)
    size = ports[1] - ports[0] + 1 if ports else max(len(pools), 1)
    return [list(pools[first : first + size]) for first in range(0, len(pools), size)]


@dataclass
class _Collected:
    """Report each check once, and remember whether all succeeded."""

    report: Callable[[Check], object]
    ok: bool = True
    reported: set[tuple[str, str]] = field(default_factory=set)

    def __call__(self, check: Check) -> bool:
        """Report a check; return whether it succeeded."""
        if (key := (check.what, check.found)) not in self.reported:
            self.reported.add(key)
            self.report(check)
        self.ok &= check.ok
        return check.ok


def _commands(pool: PlanPool, report: _Collected) -> bool:
    if pool.block is None:
        return True
    missing = acceptance.missing_programs(pool)
    if missing:
        hint = "log in to a machine that can submit jobs, or load the module with these commands"
        return report(Check(False, "commands", f"not on PATH: {', '.join(missing)}", hint))
    return report(Check(True, "commands", f"on PATH: {', '.join(acceptance.programs(pool))}"))


def _run_folder(folder: Path, report: _Collected) -> Path | None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=".fasthep-parsl-check-", dir=folder)).resolve()
    except OSError as error:
        hint = "change to the folder of your run directories, or name it with --outdir"
        report(Check(False, "run directory", f"{folder} cannot be written: {error.strerror}", hint))
        return None
    free = shutil.disk_usage(made).free
    report(Check(True, "run directory", f"{made.parent} is writable, {format_memory(free)} free"))
    return made


@contextlib.contextmanager
def _removed(folder: Path, report: _Collected) -> Iterator[None]:
    """Remove the folder at the end. If a probe failed, keep the logs."""
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    if report.ok or not list(folder.glob("probe.*")):
        shutil.rmtree(folder, ignore_errors=True)
    else:
        shutil.rmtree(folder / "trial", ignore_errors=True)


def _accepted(pool: PlanPool, largest: PlanPool | None, folder: Path, report: _Collected) -> bool:
    """Check that the batch system has the queue, and would accept a small job and the largest one."""
    if pool.block is None:
        return True
    what = f"queue {pool.block.queue}" if pool.block.queue else "queue"
    hint = "compare `queues`, `strategy` and `--set` with the site's documentation"
    refused = acceptance.refusal(pool, folder / "trial" / pool.name)
    if refused:
        return report(Check(False, what, refused, hint))
    if not acceptance.can_try(pool):
        return report(Check(True, what, "exists" if pool.block.queue else "none is requested"))
    if largest is None or largest.block is None:
        return report(Check(True, what, "the script of a job is accepted"))
    reason = acceptance.refusal(largest, folder / "trial" / f"{pool.name}.largest")
    size = _size(largest.block)
    if reason:
        report(Check(False, what, f"a small job would be accepted, but not one of {size}:\n{reason}", hint))
        return True
    return report(Check(True, what, f"the script of a job of {size} is accepted"))


def _size(block: PlanBlock) -> str:
    gpus = f", {block.gpus} gpus" if block.gpus else ""
    return f"{block.cpus} cpus, {format_memory(block.memory)}{gpus}, {format_duration(block.walltime)}"


def _address(pool: PlanPool, report: _Collected) -> bool:
    try:
        meeting = meeting_point(pool)
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as handle:
            handle.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            handle.bind((meeting.bind, meeting.port or 0))
        for name in meeting.addresses:
            socket.getaddrinfo(name, None)
    except (SiteError, OSError) as error:
        return report(Check(False, "network", str(error), "check `network` in the profile"))
    port = f"port {meeting.port}" if meeting.port else "any port"
    return report(Check(True, "network", f"workers connect to {' or '.join(meeting.addresses)}, {port}"))
