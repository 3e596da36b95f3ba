"""``sites check --live``: ask the batch system, then run one task on each queue, as a run would do it."""

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
from fasthep_parsl.driver.site_checks.probe import Say, Waiting, probe
from fasthep_parsl.driver.site_checks.sample import Check, SampledSite
from fasthep_parsl.errors import SiteError
from fasthep_parsl.plan import PlanBlock, PlanPool
from fasthep_parsl.resources.units import format_duration, format_memory


def check_live(sampled: SampledSite, folder: Path, wait: float, say: Say, waiting: Waiting) -> bool:
    """Check a site for real; return whether all is well. Everything that it starts is removed.

    Parameters
    ----------
    sampled : SampledSite
        What `sample_site` has found; all right so far.
    folder : Path
        Where runs will keep their directories; a folder is made there and removed again.
    wait : float
        Longest time until a task has ended, seconds.
    say : callable
        Called with each check, as soon as it is known.
    waiting : callable
        Called with what is waited for, whenever that changes.
    """
    every = _Collected(say)
    pools = [pool for pool in sampled.pools if _commands(pool, every)]
    made = _run_folder(folder, every)
    if made is not None:
        with _removed(made, every):
            largest = {pool.name: pool for pool in sampled.largest}
            pools = [pool for pool in pools if _accepted(pool, largest.get(pool.name), made, every)]
            pools = [pool for pool in pools if _address(pool, every)]
            for number, group in enumerate(_groups(pools)):
                probe(sampled.site.name, group, made / f"probe.{number}", wait, every, waiting)
    return every.ok


def _groups(pools: Sequence[PlanPool]) -> list[list[PlanPool]]:
    """Put pools together that can be up at the same time: each needs a port."""
    ports = next((pool.network.ports for pool in pools), None)
    size = ports[1] - ports[0] + 1 if ports else max(len(pools), 1)
    return [list(pools[first : first + size]) for first in range(0, len(pools), size)]


@dataclass
class _Collected:
    say: Callable[[Check], object]
    ok: bool = True
    told: set[str] = field(default_factory=set)

    def __call__(self, check: Check) -> bool:
        """Say something, but only once; return whether it is well."""
        if (key := f"{check.what}: {check.found}") not in self.told:
            self.told.add(key)
            self.say(check)
        self.ok &= check.ok
        return check.ok


def _commands(pool: PlanPool, say: _Collected) -> bool:
    if pool.block is None:
        return True
    missing = acceptance.missing_programs(pool)
    there = f"{', '.join(acceptance.programs(pool))} are there"
    if missing:
        hint = "log in to a machine from which jobs are submitted, or load the module that has them"
        return say(Check(False, "commands", f"not on PATH: {', '.join(missing)}", hint))
    return say(Check(True, "commands", there))


def _run_folder(folder: Path, say: _Collected) -> Path | None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=".fasthep-parsl-check-", dir=folder)).resolve()
    except OSError as error:
        hint = "stand where runs will keep their directories, or give --outdir"
        say(Check(False, "run directory", f"{folder} cannot be written: {error.strerror}", hint))
        return None
    free = shutil.disk_usage(made).free
    say(Check(True, "run directory", f"{made.parent} can be written, {format_memory(free)} free"))
    return made


@contextlib.contextmanager
def _removed(folder: Path, say: _Collected) -> Iterator[None]:
    """Remove the folder in the end; keep the logs of what did not work."""
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    if say.ok or not list(folder.glob("probe.*")):
        shutil.rmtree(folder, ignore_errors=True)
    else:
        shutil.rmtree(folder / "trial", ignore_errors=True)


def _accepted(pool: PlanPool, largest: PlanPool | None, folder: Path, say: _Collected) -> bool:
    """Ask the batch system whether it has the queue, and would take a small job and the largest one."""
    if pool.block is None:
        return True
    what = f"queue {pool.block.queue}" if pool.block.queue else "queue"
    hint = "compare `queues`, `strategy` and `--set` with the site's documents"
    refused = acceptance.refusal(pool, folder / "trial" / pool.name)
    if refused:
        return say(Check(False, what, refused, hint))
    if not acceptance.can_try(pool):
        return say(Check(True, what, "exists" if pool.block.queue else "is not asked for"))
    if largest is None or largest.block is None:
        return say(Check(True, what, "the script of a job is accepted"))
    words = acceptance.refusal(largest, folder / "trial" / f"{pool.name}.largest")
    asked = _size(largest.block)
    if words:
        say(Check(False, what, f"a small job would be accepted, but not one of {asked}:\n{words}", hint))
        return True
    return say(Check(True, what, f"the script of a job of {asked} is accepted"))


def _size(block: PlanBlock) -> str:
    gpus = f", {block.gpus} gpus" if block.gpus else ""
    return f"{block.cpus} cpus, {format_memory(block.memory)}{gpus}, {format_duration(block.walltime)}"


def _address(pool: PlanPool, say: _Collected) -> bool:
    try:
        meeting = meeting_point(pool)
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as handle:
            handle.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            handle.bind((meeting.bind, meeting.port or 0))
        for name in meeting.addresses:
            socket.getaddrinfo(name, None)
    except (SiteError, OSError) as error:
        return say(Check(False, "network", str(error), "see `network` in the profile"))
    port = f"port {meeting.port}" if meeting.port else "any port"
    return say(Check(True, "network", f"workers are told to connect to {' or '.join(meeting.addresses)}, {port}"))
