"""Where kernels are to run; set by the modifier ``cuda.jit`` around the call of an op."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

Device = Literal["cpu", "gpu"]


@dataclass(frozen=True, slots=True)
class Usage:
    """What one call of a kernel took.

    Attributes
    ----------
    kernel : str
        Name of the kernel.
    device : "cpu" or "gpu"
        Where it ran.
    events : int
        How often its body was called.
    ready : "known", "loaded" or "compiled"
        Whether this process had it already, found it on disk, or had to compile it.
    compiling : float
        s that getting it ready took.
    copied : int
        Bytes that were copied between host and device for this call.
    """

    kernel: str
    device: Device
    events: int
    ready: Literal["known", "loaded", "compiled"]
    compiling: float
    copied: int = 0


@dataclass(frozen=True, slots=True)
class CompileTarget:
    """What kernels are compiled for.

    Attributes
    ----------
    device : "cpu" or "gpu"
        For columns that lie in the host's memory; those on a GPU are worked on there.
    report : callable
        Told of each call.
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
    """Return what kernels are compiled for, None if nobody has said so."""
    return _TARGET.get()


def active() -> bool:
    """Return whether ops should use kernels even where they can do without."""
    return _TARGET.get() is not None
