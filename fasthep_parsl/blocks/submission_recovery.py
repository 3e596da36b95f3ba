"""Submission recovery: find jobs that exist although the answer to their submission was lost.

A busy scheduler can accept a job and answer too late. The block would be submitted again, and the first job would stay.
Jobs are identified by their scripts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from fasthep_parsl.blocks.job_control import JobControl

TIMEOUT = 20.0
"""Seconds in which the batch system must list the jobs."""


def recover_submissions(control: JobControl, folder: Path, blocks: Iterable[int]) -> dict[int, str]:
    """Return block → job for those of `blocks` that are in the queue.

    Parameters
    ----------
    control : JobControl
        The batch system.
    folder : Path
        Folder of the blocks' scripts.
    blocks : iterable of int
        Numbers of blocks whose submission was not answered.
    """
    wanted, found = set(blocks), {}
    for block in wanted:
        written = control.commands.post_mortem(folder, block)
        if written is not None and written.state != "ended":
            found[block] = written.id
    listing = control.commands.listing() if wanted - found.keys() else []
    for line in control.run(listing, TIMEOUT, while_closing=True).out.splitlines() if listing else []:
        job, _, path = line.strip().partition("|")
        script = re.match(re.escape(str(folder)) + r"/block\.(\d+)\.", path)
        if script and int(script.group(1)) in wanted:
            found[int(script.group(1))] = job
    return found
