"""What is put right before anything large is imported. Imports nothing large."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def leave_out_current_folder() -> None:
    """Take the current folder off the path of modules where nobody has asked for it.

    An empty entry of PYTHONPATH, as in ``PYTHONPATH=/my/lib:$PYTHONPATH``, means that folder; scripts in it may have
    names of libraries.
    """
    entries = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if len(entries) < 2 or "" not in entries:
        return
    here, package = str(Path.cwd()), Path(__file__).parents[2]
    if here not in entries and not package.samefile(here):
        sys.path[:] = [entry for entry in sys.path if entry not in ("", here)]
