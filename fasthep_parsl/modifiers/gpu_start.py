"""Getting the GPU of this process ready while it reads its first events: CuPy is imported, and kernels are compiled.

In a new process that takes seconds, of which nobody waits for those that reading takes. Of workers that share CuPy's folder
only the first compiles: the others wait for it, and take what it has put there.
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

from fasthep_parsl import __version__
from fasthep_parsl.kernels import cache
from fasthep_parsl.ops import device
from fasthep_parsl.ops.gpu import cuda_kernels, precompile

CACHE = "CUPY_CACHE_DIR"
"""Variable of CuPy: where it keeps compiled kernels."""
HEADERS = "CUPY_NVRTC_USE_PCH"
"""Variable of CuPy: whether the compiler keeps its headers parsed, which halves the time of a kernel."""
PATIENCE = 60.0
"""Longest that a worker waits for another one to compile, in s."""

_running: dict[int, threading.Thread] = {}
"""Process → what gets its GPU ready."""


def surroundings() -> None:
    """Set what CuPy reads when it is imported, where nobody has set it.

    CuPy makes its folder then; that of its default, in the home, can be missing or read-only.
    """
    os.environ.setdefault(CACHE, str(cache.folder() / "cupy"))
    os.environ.setdefault(HEADERS, "1")


def begin(why_not: Callable[[], str]) -> None:
    """Begin, once per process, if there may be a GPU to get ready; `why_not` says why there is none after all."""
    if os.getpid() in _running or os.environ.get("CUDA_VISIBLE_DEVICES") == "" or not _installed():
        return
    thread = threading.Thread(target=_prepare, args=(why_not,), name="fasthep-gpu")
    _running[os.getpid()] = thread
    thread.start()


def ready() -> None:
    """Wait until the GPU of this process is ready, if `begin` has begun."""
    thread = _running.get(os.getpid())
    if thread is not None and thread is not threading.current_thread():
        thread.join()


def _installed() -> bool:
    try:
        return importlib.util.find_spec("cupy") is not None
    except ValueError:  # something else has taken its name
        return False


def _prepare(why_not: Callable[[], str]) -> None:
    """Compile. What goes wrong is left to the first op that needs it, which says where."""
    try:
        if not why_not():
            with compiling(Path(os.environ[CACHE]), _digest()):
                precompile.compile_all(device.stream, threading.main_thread().is_alive)
    except Exception:  # noqa: BLE001, S110
        pass


def _digest() -> str:
    """Return what compiled kernels depend on, as a name."""
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
    """Compile alone in this folder, unless all is there already; a process that dies lets the next one go on."""
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
    """Hold the lock at `path`; give whether that worked, which it does not everywhere nor for ever."""
    until = time.monotonic() + PATIENCE
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
