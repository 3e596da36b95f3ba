"""Write the job scripts of a run without submitting them."""

from __future__ import annotations

from pathlib import Path

from fasthep_parsl.analysis_code.handshake import expected_software
from fasthep_parsl.atomic import write_text
from fasthep_parsl.blocks.scripts import first_scripts
from fasthep_parsl.errors import ConfigError, Problem
from fasthep_parsl.plan import Plan


def write_scripts(plan: Plan, folder: Path) -> list[Path]:
    """Write the submit script of block 0 and ``node.sh`` of every pool that is used, one folder for each pool.

    Parameters
    ----------
    plan : Plan
        The plan.
    folder : Path
        A new or an empty folder; in a run this is the folder of the blocks.

    Returns
    -------
    list of Path
        The files, in the order of the pools.

    Raises
    ------
    ConfigError
        `folder` is not empty or cannot be written, or no pool of the plan is submitted.
    """
    pools = [pool for pool in plan.pools if pool.used and pool.block is not None]
    if not pools:
        message = f"site `{plan.site}` has no scripts: its workers are processes on this machine"
        raise ConfigError(Problem("E163", message, "--scripts", hint="use a site with a batch system: `--site NAME`"))
    folder = folder.expanduser().absolute()
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        what = "is a file" if folder.is_file() else "is not empty"
        raise ConfigError(Problem("E163", f"{folder} {what}", "--scripts", hint="give a new folder"))
    written, software = [], expected_software(plan).text()
    try:
        for pool in pools:
            own = folder / pool.name
            own.mkdir(parents=True)
            written += [write_text(own / script.name, script.text) for script in first_scripts(pool, own, software)]
    except OSError as error:
        message = f"{folder} cannot be written: {error.strerror}"
        raise ConfigError(Problem("E163", message, "--scripts", hint="give another folder")) from None
    return written
