"""Decorator ``@kernel``: check the arguments of a kernel, compile it when it is first called, and run it."""

from __future__ import annotations

import functools
import inspect
import operator
import time
from collections.abc import Callable, Sequence
from typing import Any, overload

from fasthep_parsl.errors import OpError
from fasthep_parsl.kernels import launch
from fasthep_parsl.kernels.build import Built, build
from fasthep_parsl.kernels.generate import ArgumentKind
from fasthep_parsl.kernels.shape import Needs, needs
from fasthep_parsl.kernels.source import KernelSource, read
from fasthep_parsl.kernels.target import Device, Usage, current


def float64(value: Any) -> float:
    """Return `value` as float64. In a compiled kernel this is numba's ``float64``.

    Compiled, ``float(x)`` leaves a float32 unchanged. Results would then depend on the device.
    """
    return float(value)


class Kernel:
    """A compiled loop over events, created by `kernel`.

    The author writes ``body(i, …)`` for event number `i`. The kernel is called as ``name(events, …)`` with the number of
    events. It writes its results to arrays that are passed to it.

    Attributes
    ----------
    body : callable
        The function of the author.
    reference : callable or None
        The whole loop with array functions, used if no modifier requests compiled kernels.
    """

    def __init__(self, body: Callable[..., None], reference: Callable[..., None] | None = None) -> None:
        self.body = body
        self.reference = reference
        self._built: dict[tuple[Device, tuple[ArgumentKind, ...]], Built] = {}
        functools.update_wrapper(self, body)

    def __repr__(self) -> str:
        return f"<kernel {self.name}>"

    @property
    def name(self) -> str:
        """Name of the function."""
        return str(getattr(self.body, "__name__", "?"))

    @functools.cached_property
    def parameters(self) -> tuple[str, ...]:
        """Names of its arguments after the number of events."""
        return tuple(inspect.signature(self.body).parameters)[1:]

    @functools.cached_property
    def source(self) -> KernelSource:
        """The source from which machine code is generated."""
        return read(self.body, float64)

    @functools.cached_property
    def needs(self) -> Needs:
        """Requirements for its arguments."""
        return needs(self.source)

    def python(self, events: int, *arguments: Any) -> None:
        """Run the loop in plain Python. This is slow, and the reference for compiled kernels."""
        for i in range(events):
            self.body(i, *arguments)

    def __call__(self, events: int | None = None, *arguments: Any, **named: Any) -> None:
        """Run the compiled body for each event.

        Parameters
        ----------
        events : int
            Number of events, or of other iterations of the loop.
        *arguments
            numpy arrays, contiguous arrays on a GPU, numbers.
        **named
            Not allowed: arguments are positional.

        Raises
        ------
        OpError
            The kernel does not compile, or an argument has the wrong type or length.
        """
        events = self._events(events, arguments, named)
        target = current()
        away = any(launch.on_device(value) for value in arguments)
        if target is None and self.reference is not None and not away:
            self.reference(events, *arguments)
            return
        given, kinds = self._checked(events, arguments)
        if not events:
            return
        device: Device = "gpu" if away or (target is not None and target.device == "gpu") else "cpu"
        built = self._built.get((device, kinds))
        known = built is not None
        if built is None:
            built = self._built[device, kinds] = build(self.source, device, kinds)
        copied, seconds = 0, 0.0
        if device == "cpu":
            built.loop(events, *given)
        elif known:
            copied = self._launch(built, events, given)
        else:  # numba compiles at the first launch
            start = time.perf_counter()
            copied = self._launch(built, events, given)
            seconds = time.perf_counter() - start
        if target is not None:
            ready = "known" if known else built.ready
            target.report(
                Usage(self.name, device, events, ready, 0.0 if known else built.seconds + seconds, copied)
            )  # fmt: skip

    def _launch(self, built: Built, events: int, given: Sequence[Any]) -> int:
        written = [n for n, name in enumerate(self.parameters) if name in self.needs.written]
        try:
            return launch.launch(built.loop, events, given, written)
        except Exception as error:
            # Errors of the compiler are about the kernel. Errors of the driver are not.
            if ".errors" in type(error).__module__ or "Nvvm" in type(error).__name__:
                raise built.refuse(error) from error
            raise

    def _events(self, events: Any, arguments: Sequence[Any], named: dict[str, Any]) -> int:
        """Return the number of events of a call that has as many arguments as the kernel."""
        signature = f"kernel `{self.name}({', '.join(('events', *self.parameters))})`"
        if named:
            raise OpError(
                f"{signature}: `{next(iter(named))}=` is a keyword argument: pass all arguments in this order"
            )
        if events is None or len(arguments) != len(self.parameters):
            _ = self.source  # errors in the kernel itself come first
            number = len(arguments) + (events is not None)
            raise OpError(f"{signature} was called with {number} argument{'' if number == 1 else 's'}")
        try:
            number = -1 if isinstance(events, bool) else operator.index(events)
        except TypeError:
            number = -1
        if number < 0:
            shown = f"of type {type(events).__name__}" if getattr(events, "ndim", 0) else repr(events)
            raise OpError(f"{signature}: the number of events is {shown}")
        return number

    def _checked(self, events: int, arguments: Sequence[Any]) -> tuple[list[Any], tuple[ArgumentKind, ...]]:
        """Return arguments in a form that numba accepts, and their kinds."""
        names = self.parameters
        given, kinds = [], []
        for name, value in zip(names, arguments, strict=True):
            taken, kind = self._taken(name, value)
            given.append(taken)
            kinds.append(kind)
        self._check_lengths(events, dict(zip(names, given, strict=True)))
        return given, tuple(kinds)

    def _taken(self, name: str, value: Any) -> tuple[Any, ArgumentKind]:
        import numpy as np

        written = name in self.needs.written
        if isinstance(value, np.ndarray) and value.ndim:
            plain = value.flags.c_contiguous and value.flags.aligned and value.dtype.isnative
            if written and not (plain and value.flags.writeable):
                raise self._wrong(name, "is written to: it must be contiguous and writable")
            if not plain:
                value = np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("="))
        elif launch.on_device(value):
            if not value.flags.c_contiguous:
                raise self._wrong(name, "is on the GPU and is not contiguous")
        elif isinstance(value, bool | int | float | np.number | np.bool_):
            if written:
                raise self._wrong(name, "is written to: it must be an array")
            if isinstance(value, np.generic):
                value = value.item()
            kind = "bool" if isinstance(value, bool) else "int64" if isinstance(value, int) else "float64"
            return value, ArgumentKind(kind)
        else:
            raise self._wrong(name, f"has the type {type(value).__name__}: pass offsets and flat arrays (see `lists`)")
        dtype = np.dtype(value.dtype)
        if dtype.kind not in "biuf" or dtype.itemsize > 8 or dtype == np.float16:
            raise self._wrong(
                name, f"is an array of {dtype}: kernels compute with bools, integers and float32, float64"
            )
        return value, ArgumentKind(dtype.name, value.ndim, written)

    def _check_lengths(self, events: int, given: dict[str, Any]) -> None:
        """Refuse arrays that are too short: compiled code would read and write beyond their end."""
        for name, beyond in self.needs.entries.items():
            value = given[name]
            if not getattr(value, "ndim", 0):
                raise self._wrong(name, "is a number, but the kernel needs an array")
            if len(value) < events + beyond:
                wanted = f"{events + beyond} needed for {events} events" if beyond else f"for {events} events"
                raise self._wrong(name, f"has {len(value)} entries, {wanted}")
        for name, lists in self.needs.inside.items():
            for offsets in sorted(lists):
                if launch.on_device(given[offsets]):
                    continue  # reading its end would wait for all pending work of the GPU
                end = int(given[offsets][events])
                if not getattr(given[name], "ndim", 0) or len(given[name]) < end:
                    size = len(given[name]) if getattr(given[name], "ndim", 0) else "no"
                    raise self._wrong(name, f"has {size} entries, the lists of `{offsets}` end at {end}")

    def _wrong(self, name: str, message: str) -> OpError:
        return OpError(f"kernel `{self.name}`: `{name}` {message}")


@overload
def kernel(body: Callable[..., None], /) -> Kernel: ...
@overload
def kernel(*, reference: Callable[..., None]) -> Callable[[Callable[..., None]], Kernel]: ...
def kernel(
    body: Callable[..., None] | None = None, /, *, reference: Callable[..., None] | None = None
) -> Kernel | Callable[[Callable[..., None]], Kernel]:
    """Create a kernel from ``body(i, …)``, the body of a loop over events.

    numba compiles it when it is first called: for the GPU if its arguments are there or the modifier ``cuda.jit``
    requests it, else for the CPU. It may use numbers, array elements, loops, conditions, `math`, and other plain
    functions. It cannot allocate memory. Compute in `float64`.

    Parameters
    ----------
    body : callable
        ``body(i, …)``, where `i` is the number of the event. Other arguments are arrays and numbers. It writes to arrays.
    reference : callable, optional
        ``reference(events, …)``: the whole loop with array functions. It is used if no modifier requests compiled
        kernels. numba is then not imported.

    Examples
    --------
    >>> from fasthep_parsl.kernels import float64, kernel
    >>> @kernel
    ... def scalar_sum(i, offsets, pt, out):
    ...     total = 0.0
    ...     for a in range(offsets[i], offsets[i + 1]):
    ...         total += float64(pt[a])
    ...     out[i] = total
    """
    if body is None:
        return lambda function: Kernel(function, reference)
    return Kernel(body, reference)
