"""Analysis code of the tests of software on nodes: what a task sees around it."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import Any

from fasthep_parsl import op


@op("software.seen", product="seen", merge=lambda a, b: [*a, *(row for row in b if row not in a)], per_partition=True)
def seen(events: Any, *, names: list[str], file: str = "", module: str = "") -> list[dict[str, Any]]:
    """Return environment variables, whether a file exists, and what a module of the nodes says."""
    del events
    return [
        {
            "variables": {name: os.environ.get(name) for name in names},
            "file": bool(file) and Path(file).exists(),
            "module": __import__(module).WHO if module else "",
            "node": os.environ.get("SLURMD_NODENAME") or socket.gethostname(),
            "python": sys.executable,
        }
    ]
