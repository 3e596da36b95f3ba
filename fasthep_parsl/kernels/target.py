"""Target of kernels, CPU or GPU. The modifier ``cuda.jit`` sets it around the call of an op."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

Device = Literal["cpu", "gpu"]


@dataclass(frozen=True, slots=True)
class Usage:
    """Cost of a call of a kernel.

    Attributes
    ----------
    kernel : str
        Name of the kernel.
    device : "cpu" or "gpu"
        Device that it ran on.
    events : int
        Number of calls of its body.
    ready : "known", "loaded" or "compiled"
        Whether this process had it, loaded it from disk, or compiled it.
    compiling : float
        Seconds for loading or compiling it.
    copied : int
        Bytes copied between host and device for this call.
    """

    kernel: str
    device: Device
    events: int
    ready: Literal["known", "loaded", "compiled"]
    compiling: float
    copied: int = 0


@dataclass(frozen=True, slots=True)
class CompileTarget:
    """Target of compiled kernels.

    Attributes
    ----------
    device : "cpu" or "gpu"
        Device for columns in the host's memory. Columns on a GPU are processed there.
    report : callable
        Called with the usage of each call.
    """

    device: Device
    report: Callable[[Usage], None] = lambda _usage: None


_TARGET: ContextVar[CompileTarget | None] = ContextVar("fasthep_parsl_kernel_target", default=None)


@contextmanager
def compiling_for(target: CompileTarget) -> Iterator[None]:
    """Compile kernels for `target` in this block."""
    token = _TARGET.set(target)
    try:
        yield
    finally:
        _TARGET.reset(token)


def current() -> CompileTarget | None:
    """Return the target of kernels, None if none is set."""
    return _TARGET.get()


def active() -> bool:
    """Return whether ops should use kernels even if they have an alternative."""
    return _TARGET.get() is not None
