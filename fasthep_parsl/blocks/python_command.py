"""How Python is started: so that nothing of the folder that a run is started in is imported instead of a library.

``python -m`` puts the current folder first on the path, and an empty entry of PYTHONPATH means that folder too. There may
be the user's own ``hist.py``, ``select.py`` or ``random.py``.
"""

from __future__ import annotations

import os
from pathlib import Path


def module_command(python: str, module: str) -> list[str]:
    """Return the command line that runs `module`, without the current folder on its path."""
    return [python, "-P", "-m", module]


def python_path() -> str:
    """Return a path on which processes find this package, also when it was not installed; ours, without empty entries."""
    here = str(Path(__file__).resolve().parents[3])
    return os.pathsep.join(dict.fromkeys([here, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]))
