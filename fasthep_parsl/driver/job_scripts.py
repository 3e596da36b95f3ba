"""Write what a run would submit: the same text, before anything is submitted."""

from __future__ import annotations

from pathlib import Path

from fasthep_parsl.atomic import write_text
from fasthep_parsl.blocks.scripts import first_scripts
from fasthep_parsl.errors import ConfigError, Problem
from fasthep_parsl.plan import Plan


def write_scripts(plan: Plan, folder: Path) -> list[Path]:
    """Write the submit script of block 0 and ``node.sh`` of every pool that is used, each pool in a folder of its own.

    Parameters
    ----------
    plan : Plan
        The plan.
    folder : Path
        A new or an empty folder. It takes the place of the folder that a run keeps its blocks in.

    Returns
    -------
    list of Path
        What was written, in the order of the pools.

    Raises
    ------
    ConfigError
        `folder` holds something or cannot be written, or the plan has no pool that is submitted.
    """
    pools = [pool for pool in plan.pools if pool.used and pool.block is not None]
    if not pools:
        message = f"there are no scripts: on site `{plan.site}` workers are processes of this machine"
        raise ConfigError(Problem("E163", message, "--scripts", hint="name a site with a batch system, `--site NAME`"))
    folder = folder.expanduser().absolute()
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        what = "is a file" if folder.is_file() else "is not empty"
        raise ConfigError(Problem("E163", f"{folder} {what}", "--scripts", hint="give a new folder"))
    written = []
    try:
        for pool in pools:
            own = folder / pool.name
            own.mkdir(parents=True)
            written += [write_text(own / script.name, script.text) for script in first_scripts(pool, own)]
    except OSError as error:
        message = f"{folder} cannot be written: {error.strerror}"
        raise ConfigError(Problem("E163", message, "--scripts", hint="give another folder")) from None
    return written
