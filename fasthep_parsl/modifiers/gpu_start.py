"""Prepare the GPU of a process while it reads its first events: import CuPy and compile kernels.

In a new process this takes seconds; reading hides part of them. If workers share CuPy's cache folder, only the first one
compiles. The others wait for it and use its kernels.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fasthep_parsl.kernels import cache
from fasthep_parsl.ops import device
from fasthep_parsl.ops.gpu import cuda_kernels, precompile
from fasthep_parsl.version import __version__

CACHE = "CUPY_CACHE_DIR"
"""Environment variable of CuPy: folder of compiled kernels."""
HEADERS = "CUPY_NVRTC_USE_PCH"
"""Environment variable of CuPy: whether the compiler uses precompiled headers. They halve the time per kernel."""
LOCK_TIMEOUT = 60.0
"""Seconds that a worker waits for another one to compile."""

_running: dict[int, threading.Thread] = {}
"""Process id → the thread that prepares its GPU."""


def set_defaults() -> None:
    """Set the environment variables that CuPy reads when it is imported, unless they are set.

    CuPy then creates its cache folder. The default, in the home folder, may be missing or read-only.
    """
    os.environ.setdefault(CACHE, str(cache.folder() / "cupy"))
    os.environ.setdefault(HEADERS, "1")


def begin(why_not: Callable[[], str]) -> None:
    """Start to prepare the GPU, once per process, unless there is certainly none. `why_not` returns why there is none."""
    if os.getpid() in _running or os.environ.get("CUDA_VISIBLE_DEVICES") == "" or not _installed():
        return
    thread = threading.Thread(target=_prepare, args=(why_not,), name="fasthep-gpu")
    _running[os.getpid()] = thread
    thread.start()


def ready() -> None:
    """Wait until the GPU of this process is ready, if `begin` was called."""
    thread = _running.get(os.getpid())
    if thread is not None and thread is not threading.current_thread():
        thread.join()


def _installed() -> bool:
    try:
        return importlib.util.find_spec("cupy") is not None
    except ValueError:  # another module has this name
        return False


def _prepare(why_not: Callable[[], str]) -> None:
    """Compile. Errors are ignored: the first op that needs a kernel reports them."""
    try:
        if not why_not():
            with compiling(Path(os.environ[CACHE]), _digest()):
                precompile.compile_all(device.stream, threading.main_thread().is_alive)
    except Exception:  # noqa: BLE001, S110
        pass


def _digest() -> str:
    """Return a hash of everything that compiled kernels depend on."""
    cupy: Any = sys.modules["cupy"]
    parts = (
        __version__,
        cupy.__version__,
        cupy.cuda.Device().compute_capability,
        cuda_kernels.SOURCE.read_text(),
        precompile.TABLE,
    )
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:16]


@contextmanager
def compiling(folder: Path, digest: str) -> Iterator[None]:
    """Let one process at a time compile in this folder, unless all kernels exist. If it dies, the next one continues."""
    stamp = folder / f"fasthep-{digest}.ready"
    if stamp.exists():
        yield
        return
    with _alone(folder / "fasthep.lock") as first_look:
        if first_look and not stamp.exists():
            yield
            stamp.touch()
            return
    yield


@contextmanager
def _alone(path: Path) -> Iterator[bool]:
    """Lock `path`. Yield whether that succeeded: file systems may lack locks, and waiting has a limit."""
    until = time.monotonic() + LOCK_TIMEOUT
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:
        yield False
        return
    try:
        while time.monotonic() < until:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(0.02)
            except OSError:  # a file system without locks
                break
            else:
                yield True
                return
        yield False
    finally:
        os.close(descriptor)
