"""The command line of Python processes: they import nothing from the folder in which a run is started.

``python -m`` puts the current folder first on the path, and an empty entry of PYTHONPATH means the current folder. A user
may have a ``hist.py``, ``select.py`` or ``random.py`` in it.
"""

from __future__ import annotations

import os
from pathlib import Path


def module_command(python: str, module: str) -> list[str]:
    """Return the command line that runs `module`, without the current folder on its path."""
    return [python, "-P", "-m", module]


def python_path() -> str:
    """Return a PYTHONPATH with this package, also if it is not installed, and with the entries of ours that are not empty."""
    here = str(Path(__file__).resolve().parents[2])
    return os.pathsep.join(dict.fromkeys([here, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]))
