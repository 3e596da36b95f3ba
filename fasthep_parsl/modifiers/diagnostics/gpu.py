"""Measure the peak of CuPy's memory pool during a call."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass
class DevicePeak:
    """Peak of the bytes in use on the GPU; 0 if none were used."""

    peak: int = 0


@contextmanager
def watch_device() -> Iterator[DevicePeak]:
    """Measure the peak of CuPy's memory pool during the block, if there is a device."""
    found = DevicePeak()
    cupy: Any = sys.modules["cupy"]
    if not cupy.is_available():
        yield found
        return
    pool = cupy.get_default_memory_pool()

    class GpuMonitor(cupy.cuda.MemoryHook):  # type: ignore[misc]
        name = "fasthep_parsl.diagnostics"

        def malloc_postprocess(self, **_: Any) -> None:
            found.peak = max(found.peak, pool.used_bytes())

    found.peak = pool.used_bytes()
    with GpuMonitor():
        yield found
    found.peak = max(found.peak, pool.used_bytes())
