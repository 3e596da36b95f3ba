"""Staged files: what a block transfers to nodes that do not see the run directory. Imports no Parsl.

The files arrive in the folder of ``node.sh``. Only the certificates that a worker needs are transferred: the server's
secret stays on the submit side.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from fasthep_parsl.blocks.node_checks import CERTIFICATES
from fasthep_parsl.blocks.worker_command import Link
from fasthep_parsl.plan import PlanPool
from fasthep_parsl.setup_folder import FILES, SECRETS
from fasthep_parsl.strategies.node import HERE
from fasthep_parsl.worker.file_transfer import TRANSFERRED


@dataclass(frozen=True, slots=True)
class StagedFiles:
    """Files that a block transfers, and secrets that it transfers encrypted."""

    files: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()


def staged_files(pool: PlanPool, run_dir: Path, link: Link) -> StagedFiles:
    """Return what the blocks of `pool` transfer: nothing if their nodes see the run directory."""
    if pool.shared:
        return StagedFiles()
    files = [str(run_dir / name) for name in TRANSFERRED if not _is_empty(run_dir / name)]
    files += [link.log_config] if link.log_config else []
    files += [str(run_dir / FILES / name) for name in pool.files]
    secrets = [f"{link.certificates}/{name}" for name in CERTIFICATES]
    secrets += [str(run_dir / SECRETS / name) for name in pool.secrets]
    return StagedFiles(tuple(files), tuple(secrets))


def _is_empty(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


def on_node(pool: PlanPool, link: Link) -> Link:
    """Return `link` with its paths as nodes see them."""
    if pool.shared:
        return link
    log_config = link.log_config and f"{HERE}/{Path(link.log_config).name}"
    return replace(link, certificates=f"{HERE}/certificates", logs=f"{HERE}/log", log_config=log_config)
