"""Analysis code of the tests of worker setups: what a task finds of the file and of the secret."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import Any

from fasthep_parsl import op


@op("setup.seen", product="seen", merge=lambda a, b: [*a, *(row for row in b if row not in a)], per_partition=True)
def seen(events: Any) -> list[dict[str, Any]]:
    """Return what the worker setup gives this worker; of the secret its checksum alone."""
    del events
    secret = Path(os.environ["PROBE_TOKEN_FILE"])
    return [
        {
            "greeting": Path(os.environ["PROBE_GREETING"]).read_text(),
            "sha256": hashlib.sha256(secret.read_bytes()).hexdigest(),
            "mode": oct(stat.S_IMODE(secret.stat().st_mode)),
            "folder_mode": oct(stat.S_IMODE(secret.parent.stat().st_mode)),
            "order": os.environ["PROBE_ORDER"],
            "secret": str(secret),
        }
    ]
