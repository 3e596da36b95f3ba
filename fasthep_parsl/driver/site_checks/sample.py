"""Check a site without an analysis: plan a small pool on each queue, and render its scripts. Starts nothing."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fasthep_parsl.blocks.scripts import first_scripts
from fasthep_parsl.compiler.credentials import InspectedCredential, inspect_credentials
from fasthep_parsl.compiler.grants import Facility, open_facility
from fasthep_parsl.compiler.modifiers import pool_modifiers
from fasthep_parsl.compiler.worker_setups import planned_kinds
from fasthep_parsl.errors import Checked, Problem, on_command_line
from fasthep_parsl.interfaces import Script
from fasthep_parsl.plan import PlanCredential, PlanEnvironment, PlanPool
from fasthep_parsl.pools.model import DEFAULT, Pool, build_pools
from fasthep_parsl.resources.machine import this_machine
from fasthep_parsl.resources.model import Resource
from fasthep_parsl.resources.units import format_duration, format_memory
from fasthep_parsl.sites import Site, is_batch, load_site, missing_requirements
from fasthep_parsl.workflow.facility import Queue
from fasthep_parsl.workflow.loader import LoadedWorkflow, load_workflow, package_defaults
from fasthep_parsl.workflow.yamldoc import show_path

_WORKFLOW = """\
version: "1.0"
data: {datasets: [{name: none, files: [none.root]}]}
sources: {events: {kind: root_tree, tree: Events}}
analysis: {stages: [{id: Probe, op: hep.define}]}
"""
"""The smallest workflow. The site is merged with it; it is never run."""
_MEMORY = 1_000_000_000
_WALLTIME = 600.0
"""Bytes and seconds that the pool on each queue requests. They are small, so that it starts soon."""


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check.

    Attributes
    ----------
    ok : bool
        Whether it succeeded.
    what : str
        Subject of the check, two or three words.
    found : str
        What was found.
    hint : str
        What to do if the check failed.
    missing : bool
        Whether it is a setting that users must fill in, and that is not set.
    """

    ok: bool
    what: str
    found: str
    hint: str = ""
    missing: bool = False


@dataclass(frozen=True)
class SampledSite:
    """A site with a small pool on each of its queues.

    Attributes
    ----------
    site : Site
        The site.
    pools : tuple of PlanPool
        One pool per queue, with the queue's name, and the pools of the profile.
    largest : tuple of PlanPool
        For each queue, the largest and longest job that the profile allows.
    checks : tuple of Check
        The checks.
    scripts : dict
        Pool → submit script and ``node.sh``, for those that could be rendered.
    environment : PlanEnvironment or None
        The environment of the workers.
    credentials : tuple of PlanCredential
        The credentials of the workers.
    """

    site: Site
    pools: tuple[PlanPool, ...] = ()
    largest: tuple[PlanPool, ...] = ()
    checks: tuple[Check, ...] = ()
    scripts: dict[str, tuple[Script, Script]] = field(default_factory=dict)
    environment: PlanEnvironment | None = None
    credentials: tuple[PlanCredential, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether all checks succeeded."""
        return all(check.ok for check in self.checks)


def sample_site(name: str, overrides: Sequence[str] = ()) -> SampledSite:
    """Check a site and the scripts that a run would submit. Contacts no scheduler.

    Parameters
    ----------
    name : str
        Name of a site, or a file.
    overrides : sequence of str
        Settings, ``strategy.account=m1234``.

    Raises
    ------
    ConfigError
        No such site, or its profile is wrong.
    """
    site = load_site(name)
    loaded = loaded_alone(site, overrides)
    missing = missing_requirements(site, loaded.document)
    machine = None if is_batch(site.strategy.kind) else this_machine()
    credentials = inspect_credentials(loaded, remote=True)
    opened = open_facility(loaded, machine, missing, credentials.unused)
    facility = opened.value
    checks = [*_profile(site, loaded, opened.problems), *_filled_in(site, loaded, missing)]
    pools: list[PlanPool] = []
    largest: list[PlanPool] = []
    for pool, queue in _sampled(loaded):
        whole = facility.grant(_whole(pool, queue)).pool
        largest += [whole] if whole and pool.queue else []
        grant = facility.grant(pool)
        if grant.pool is not None:
            pools.append(grant.pool)
        checks.append(_queue(pool, queue, grant.pool, grant.reason))
    found = _own_pools(facility)
    pools += [pool for pool, _ in found if pool is not None]
    checks += [check for _, check in found]
    scripts, written = _scripts([pool for pool in pools if _is_valid(pool, opened)])
    kinds = planned_kinds(loaded.workflow.execution, Path.cwd(), credentials.unused)
    checks += [
        _credential(item) for item in credentials.items if item.model.required or item.used or not item.found.absent
    ]
    return SampledSite(site, tuple(pools), tuple(largest), (*checks, *written), scripts, *kinds)


def _credential(item: InspectedCredential) -> Check:
    """Return what a run would use. A profile is right although its user has no credential now."""
    what = f"credential {item.kind}"
    if item.found.facts is not None and not item.found.problems:
        return Check(True, what, item.found.facts.describe(time.time()))
    if not item.found.problems:
        return Check(True, what, "; ".join(item.found.warnings))
    why = "; ".join(map(str, item.found.problems))
    return Check(True, what, f"{'a run needs it' if item.model.required else 'not used'}: {why}")


def _is_valid(pool: PlanPool, opened: Checked[Facility]) -> bool:
    """Return whether the submit script of a pool can be rendered: its strategy and its environment are valid."""
    return not opened.problems and pool.block is not None and pool.block.queue in opened.value.options


def loaded_alone(site: Site, overrides: Sequence[str]) -> LoadedWorkflow:
    """Return a site merged with a workflow that does nothing, and the mistakes in it."""
    with tempfile.TemporaryDirectory(prefix="fasthep-parsl-") as folder:
        path = Path(folder) / "sample.yaml"
        path.write_text(_WORKFLOW)
        return load_workflow(path, layers=site.layers, overrides=overrides, tolerant=True)


def _profile(site: Site, loaded: LoadedWorkflow, problems: Sequence[Problem]) -> list[Check]:
    wrong = [item for item in (*loaded.problems, *problems) if item.code != "E147"]
    checks = (
        [Check(False, "profile", "; ".join(item.message for item in wrong), on_command_line(wrong[0].hint))]
        if wrong
        else []
    )
    modifiers = pool_modifiers(loaded)
    checks += [Check(False, "profile", item.headline, on_command_line(item.hint)) for item in modifiers.problems]
    if not checks:
        names = [Path(document.root.layer.split()[-1]).name for document in site.layers[:-1]]
        above = f", extends {', '.join(reversed(names))}" if names else ""
        checks.append(Check(True, "profile", f"keys and values are right{above}"))
    around = {pool: ", ".join(item.kind.kind for item in placed) for pool, placed in modifiers.value.items() if placed}
    return checks + [Check(True, "modifiers", f"of pool {pool}: {names}") for pool, names in around.items()]


def _filled_in(site: Site, loaded: LoadedWorkflow, missing: Sequence[Problem]) -> list[Check]:
    """Return a check for each required setting, and for environment variables that are not set."""
    lacking = {item.key for item in missing}
    checks = []
    for item in site.requires:
        path, what = ("execution", *item.path), show_path(item.path)
        if show_path(path) in lacking:
            checks.append(Check(False, what, "is missing", item.help, missing=True))
        else:
            node = loaded.document.get(path)
            checks.append(Check(True, what, str(node.plain()) if node else ""))
    variables = [item for item in loaded.problems if item.code == "E147"]
    return checks + [Check(False, "environment", item.message, on_command_line(item.hint)) for item in variables]


def _sampled(loaded: LoadedWorkflow) -> list[tuple[Pool, Queue]]:
    """Return a small pool for each queue: one worker, with a GPU if the nodes have GPUs."""
    execution = loaded.workflow.execution
    found = []
    for name, queue in (execution.queues or {"": Queue()}).items():
        node = queue.node
        memory = min(_MEMORY, node.memory or _MEMORY, queue.memory_per_cpu or _MEMORY)
        wants = Resource(
            cpus=1, memory=memory, gpus=min(node.gpus, 1), walltime=min(_WALLTIME, queue.walltime or _WALLTIME)
        )
        found.append((Pool(name or DEFAULT, 1, wants, queue=name or None), queue))
    return found


def _whole(pool: Pool, queue: Queue) -> Pool:
    """Return a pool whose worker uses a whole node for as long as the queue allows."""
    node, small = queue.node, pool.resource
    cpus, memory = node.cpus or small.cpus, node.memory or small.memory
    if queue.memory_per_cpu and not queue.whole_nodes:
        memory = min(memory, cpus * queue.memory_per_cpu)
    walltime = queue.walltime or small.walltime
    wants = Resource(cpus=cpus, memory=memory, gpus=node.gpus, walltime=walltime)
    return Pool(pool.name, 1, wants, queue=pool.queue)


def _queue(pool: Pool, queue: Queue, planned: PlanPool | None, reason: str) -> Check:
    what = f"queue {pool.queue}" if pool.queue else "queue"
    if planned is None:
        return Check(False, what, reason)
    if planned.block is None:
        return Check(True, "workers", "processes of this machine")
    if not pool.queue:
        return Check(True, what, "the profile has none: the batch system chooses one, and sizes are not checked")
    node, limits = queue.node, []
    limits += [f"{node.cpus} cpus"] if node.cpus else []
    limits += [format_memory(node.memory)] if node.memory else []
    limits += [f"{node.gpus} gpus"] if node.gpus else []
    nodes = f"nodes of {', '.join(limits)}" if limits else "nodes of unknown size"
    nodes += ", whole" if queue.whole_nodes else ""
    time = f"up to {format_duration(queue.walltime)}" if queue.walltime else "no walltime limit"
    most = f", at most {queue.max_blocks} jobs" if queue.max_blocks else ""
    return Check(True, what, f"{nodes}, {time}{most}")


def _own_pools(facility: Facility) -> list[tuple[PlanPool | None, Check]]:
    """Check the pools of the profile."""
    found: list[tuple[PlanPool | None, Check]] = []
    execution = facility.execution
    wanted = build_pools(execution, facility.loaded.document)
    found += [(None, Check(False, item.key, item.message, on_command_line(item.hint))) for item in wanted.problems]
    for pool in wanted.value:
        node = facility.loaded.document.get(("execution", "pools", pool.name))
        if node is None or node.layer == package_defaults().root.layer:
            continue
        grant = facility.grant(pool)
        what, refusal = f"pool {pool.name}", grant.refusal
        if grant.pool is None:
            found.append((None, Check(False, what, grant.reason, on_command_line(refusal.hint) if refusal else "")))
            continue
        block = grant.pool.block
        where = f"queue {block.queue}" if block and block.queue else "fits"
        found.append((grant.pool, Check(True, what, "; ".join(grant.warnings) or where)))
    return found


def _scripts(pools: Sequence[PlanPool]) -> tuple[dict[str, tuple[Script, Script]], list[Check]]:
    """Render the scripts, and check their syntax with bash."""
    rendered = {pool.name: first_scripts(pool, Path("/run/log/blocks") / pool.name) for pool in pools}
    checks = []
    texts = {
        script.text: script for pair in rendered.values() for script in pair if script.text.startswith("#!/bin/bash")
    }
    for script in texts.values():
        errors = subprocess.run(
            ["/bin/bash", "-n"], input=script.text, capture_output=True, text=True, check=False
        ).stderr.strip()
        if errors:
            checks.append(
                Check(False, script.name, errors.replace("/bin/bash: ", ""), "see `worker_init` and `strategy`")
            )
    checks = list(dict.fromkeys(checks))
    if rendered and not checks:
        some = next(iter(rendered.values()))
        names = " and ".join(script.name for script in some)
        checks.append(Check(True, "scripts", f"{names} are valid; `--scripts` shows them"))
    return rendered, checks
