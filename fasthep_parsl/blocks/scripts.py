"""What is submitted for a block and what its nodes run, as text. Imports no Parsl, starts nothing."""

from __future__ import annotations

from pathlib import Path

from fasthep_parsl import registry
from fasthep_parsl.blocks.staged_files import on_node, staged_files
from fasthep_parsl.blocks.worker_command import PLACEHOLDERS, worker_command
from fasthep_parsl.interfaces import BatchStrategy, BlockLocation, Script
from fasthep_parsl.plan import PlanPool
from fasthep_parsl.strategies.base import NODE_SCRIPT
from fasthep_parsl.strategies.node import node_script


def job_name(pool: PlanPool) -> str:
    """Return the name of the jobs of `pool` in the batch system's listings."""
    return f"fasthep-{pool.name}"


def block_script(pool: PlanPool, place: BlockLocation) -> Script:
    """Return what is submitted for one block of `pool`."""
    strategy: BatchStrategy = registry.load("strategies", pool.provider)(**pool.options)
    return strategy.script(pool, place)


def first_scripts(pool: PlanPool, folder: Path) -> tuple[Script, Script]:
    """Return what a run submits for block 0 of `pool`, and what its nodes run, if the run's folder were `folder`.

    Address, port and certificates, which only a run knows, are named between ``<`` and ``>``.
    """
    bring = staged_files(pool, Path("<run directory>"), PLACEHOLDERS)
    submitted = block_script(pool, BlockLocation(str(folder), job_name(pool), 0, (), bring.files, bring.secrets))
    return submitted, Script(NODE_SCRIPT, node_script(pool, worker_command(pool, on_node(pool, PLACEHOLDERS))))
