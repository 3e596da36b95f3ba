"""Jobs that exist although the answer to their submission was lost, found again by the script that they run.

A busy scheduler often takes a job and answers too late: it would be submitted again, and the first one stay for ever.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from fasthep_parsl.blocks.commands import run
from fasthep_parsl.blocks.dialect import Dialect

TIMEOUT = 20.0
"""Seconds in which the batch system must list our jobs."""


def found_again(dialect: Dialect, folder: Path, blocks: Iterable[int]) -> dict[int, str]:
    """Return block → job for those of `blocks` that are in the queue, as far as the batch system says.

    Parameters
    ----------
    dialect : Dialect
        Its commands.
    folder : Path
        Where the scripts of the blocks lie.
    blocks : iterable of int
        Numbers of blocks whose submission was not answered.
    """
    wanted, found = set(blocks), {}
    for block in wanted:
        written = dialect.post_mortem(folder, block)
        if written is not None and written.state != "ended":
            found[block] = written.id
    listing = dialect.listing() if wanted - found.keys() else []
    for line in run(listing, TIMEOUT).out.splitlines() if listing else []:
        job, _, what = line.strip().partition("|")
        script = re.match(re.escape(str(folder)) + r"/block\.(\d+)\.", what)
        if script and int(script.group(1)) in wanted:
            found[int(script.group(1))] = job
    return found
