"""Launch a compiled kernel on a GPU: copy arguments, choose blocks and threads, use CuPy's stream."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

THREADS = 128
"""Threads per block: four warps. More would only cost registers."""
WAVES = 32
"""Most blocks per multiprocessor. With more events, each thread processes several."""


def geometry(events: int, multiprocessors: int) -> tuple[int, int]:
    """Return (blocks, threads per block) for a loop over `events`.

    Up to the size of the device, each event has its own thread. Few events are distributed over all multiprocessors in
    smaller blocks, down to a warp.
    """
    threads = THREADS
    while threads > 32 and events < multiprocessors * threads:
        threads //= 2
    blocks = -(-events // threads)
    return max(1, min(blocks, multiprocessors * WAVES)), threads


def on_device(value: Any) -> bool:
    """Return whether an array is in the memory of a GPU."""
    return hasattr(value, "__cuda_array_interface__")


def simulated() -> bool:
    """Return whether numba simulates a GPU (``NUMBA_ENABLE_CUDASIM=1``)."""
    from numba import config

    return bool(config.ENABLE_CUDASIM)


def missing() -> str:
    """Return why numba cannot use a GPU in this process; empty if it can."""
    try:
        from numba import cuda

        if cuda.is_available():
            return ""
        reason = str(cuda.cuda_error() or "")
    except Exception as error:  # noqa: BLE001  # an incomplete driver can raise any error
        reason = f"{type(error).__name__}: {error}"
    return next((line.strip() for line in reason.splitlines() if line.strip()), "numba finds no device")


def device_name() -> str:
    """Return the name of the device that this process uses."""
    from numba import cuda

    if simulated():
        return "simulator"
    name = cuda.get_current_device().name
    return name.decode() if isinstance(name, bytes) else str(name)


def launch(loop: Any, events: int, arguments: Sequence[Any], written: Iterable[int]) -> int:
    """Run `loop` on the GPU. Return the bytes that were copied between host and device.

    Arrays on the device are used in place. Arrays of the host are copied there, and copied back if the kernel writes to
    them. In this case the function waits for the device.

    Parameters
    ----------
    loop : numba.cuda dispatcher
        Compiled kernel.
    events : int
        Number of events.
    arguments : sequence
        Its arguments.
    written : iterable of int
        Positions of the arguments that it writes to.
    """
    from numba import cuda

    stream = _stream()
    copied = 0
    given = []
    for value in arguments:
        if not getattr(value, "ndim", 0):
            given.append(value)
        elif on_device(value):
            # By default numba would wait for the stream of the array. The kernel is queued on the same stream.
            given.append(cuda.as_cuda_array(value, sync=False))
        else:
            given.append(cuda.to_device(value, stream=stream))
            copied += value.nbytes
    blocks, threads = (1, min(events, 4)) if simulated() else geometry(events, _multiprocessors())
    _disable_warnings()
    loop[blocks, threads, stream](events, *given)
    for position in (position for position in written if not on_device(arguments[position])):
        given[position].copy_to_host(arguments[position], stream=stream)
        copied += arguments[position].nbytes
    if copied and not simulated():
        stream.synchronize()
    return copied


@cache
def _disable_warnings() -> None:
    """Switch off numba's warnings about small grids: the geometry depends on the data."""
    for name in ("numba.core.config", "numba.cuda.core.config"):
        if name in sys.modules:
            sys.modules[name].CUDA_LOW_OCCUPANCY_WARNINGS = 0  # type: ignore[attr-defined]


def _multiprocessors() -> int:
    from numba import cuda

    return int(cuda.get_current_device().MULTIPROCESSOR_COUNT)


def _stream() -> Any:
    """Return CuPy's current stream, so that kernels run after pending work of awkward and CuPy."""
    from numba import cuda

    cupy = sys.modules.get("cupy")
    if simulated() or cupy is None or not hasattr(cupy, "cuda"):
        return cuda.default_stream() if not simulated() else 0
    return cuda.external_stream(cupy.cuda.get_current_stream().ptr)
