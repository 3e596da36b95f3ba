"""Whether the driver of a run directory still runs, found without waiting and without taking its lock."""

from __future__ import annotations

import time
from pathlib import Path

from fasthep_parsl.driver.driver_process import is_alive
from fasthep_parsl.driver.lock_files import STALE, holders, lock_path


def driver_runs(run_dir: Path) -> bool | None:
    """Return whether a driver works in a run directory; None if this machine cannot tell."""
    found = holders(run_dir)
    if not found:
        return False
    holder = found[-1]
    alive = is_alive(holder.driver) if holder.driver else None
    if alive is not None:
        return alive
    try:
        age = time.time() - lock_path(run_dir, holder.number).stat().st_mtime
    except OSError:
        return False
    return True if abs(age) < STALE else None
