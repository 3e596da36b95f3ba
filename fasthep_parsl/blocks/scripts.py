"""The texts of a block: the script that is submitted, and the script that its nodes run. Pure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from fasthep_parsl import registry
from fasthep_parsl.blocks.staged_files import on_node, staged_files
from fasthep_parsl.blocks.worker_command import PLACEHOLDERS, worker_command
from fasthep_parsl.interfaces import BatchStrategy, BlockLocation, Script
from fasthep_parsl.plan import PlanPool
from fasthep_parsl.strategies.base import NODE_SCRIPT
from fasthep_parsl.strategies.node import node_script

RUN_DIRECTORY = "<run directory>"
"""Placeholder for a path that is not known before a run."""


def strategy_of(pool: PlanPool) -> BatchStrategy:
    """Return the strategy of a pool on a batch system, with the pool's options."""
    strategy: BatchStrategy = registry.load("strategies", pool.provider)(**pool.options)
    return strategy


def job_name(pool: PlanPool) -> str:
    """Return the name of the jobs of `pool` in the batch system's listings."""
    return f"fasthep-{pool.name}"


def block_script(pool: PlanPool, location: BlockLocation) -> Script:
    """Return what is submitted for one block of `pool`."""
    return strategy_of(pool).script(pool, location)


def first_scripts(pool: PlanPool, folder: Path, software: str = PLACEHOLDERS.software) -> tuple[Script, Script]:
    """Return the script of block 0 of `pool` and the script of its nodes, for blocks in `folder` with this `software`.

    Address, port and certificates are placeholders between ``<`` and ``>``: they are known when a run starts.
    """
    link = replace(PLACEHOLDERS, software=software)
    staged = staged_files(pool, Path(RUN_DIRECTORY), link)
    script = block_script(pool, BlockLocation(str(folder), job_name(pool), 0, (), staged.files, staged.secrets))
    command = worker_command(pool, on_node(pool, link))
    return script, Script(NODE_SCRIPT, node_script(pool, command, RUN_DIRECTORY))
