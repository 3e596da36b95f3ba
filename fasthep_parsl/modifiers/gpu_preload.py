"""Modifier ``gpu.preload``: move the columns that a stage reads to the GPU."""

from __future__ import annotations

import json
import os
import socket
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from fasthep_parsl import atomic
from fasthep_parsl.errors import FastHepError, OpError, summary_of
from fasthep_parsl.interfaces import Call, Modifier, Note
from fasthep_parsl.modifiers import gpu_start
from fasthep_parsl.ops import device

if TYPE_CHECKING:
    from pathlib import Path

    from fasthep_parsl.ops.stream import Events

KIND = "gpu.preload"


class GpuMemoryError(MemoryError):
    """The GPU does not have enough memory for the events of a pass."""


class GpuPreload(Modifier):
    """Parameters of ``gpu.preload``.

    Columns are copied when the op uses them, once per pass, and stay on the GPU for later stages of the same task. New
    columns stay there, too, until a stage without this modifier, a stored stream or a product needs them.
    """

    needs_gpu: ClassVar[bool] = True
    without_gpu: ClassVar[str] = "on_missing: cpu"
    field_parameters: ClassVar[tuple[str, ...]] = ("fields",)
    identity: ClassVar[tuple[str, ...] | None] = ()

    fields: tuple[str, ...] | None = Field(
        None, description="columns to move; default: the columns that the stage reads"
    )
    on_missing: Literal["fail", "cpu"] = Field(
        "fail",
        description="without a GPU, or if the op uses something that GPUs do not support: fail, or run on the CPU",
    )

    @property
    def works_without_gpu(self) -> bool:
        """Whether this instance works on workers without a GPU."""
        return self.on_missing == "cpu"

    def wrap(self, call: Call) -> Call:
        """Return a call that runs on the GPU."""
        if not call.why_no_gpu:
            gpu_start.begin(why_not)

        def on_gpu(events: Any, **params: Any) -> Any:
            if not call.why_no_gpu:
                gpu_start.ready()
            missing = call.why_no_gpu or why_not()
            if missing:
                self._without(call, missing)
                return call(events, **params)
            try:
                found = self._run(call, events, params)
            except GpuMemoryError:
                _failed[call.stage] += 1  # a note of this pass would be dropped: it is run again in halves
                raise
            failed = _failed.pop(call.stage, 0)
            call.note({"calls": 1, **({"out_of_memory": failed} if failed else {}), **device.pop_counts()})
            return found

        return call.using(on_gpu)

    def _without(self, call: Call, missing: str) -> None:
        if self.on_missing == "fail":
            where = f"worker {socket.gethostname()} (process {os.getpid()}) of pool `{call.pool}`"
            raise OpError(f"{KIND}: {where} has no usable GPU: {missing} (set `on_missing: cpu` to run on the CPU)")
        call.note({"calls": 1, "without_gpu": 1, "reasons": {f"pool `{call.pool}`: {missing}": 1}})

    def _run(self, call: Call, events: Any, params: dict[str, Any]) -> Any:
        problem = ""
        try:
            with device.stream():
                return _leaving(call(self._events_for(call, events), **params))
        except MemoryError as error:  # of CuPy, or the plain one of its sort functions
            if type(error).__module__.startswith("numpy"):
                raise  # of the host
            problem = _too_large(call, events, error)
            traceback.clear_frames(error.__traceback__)  # frames keep arrays alive, and the next try needs their memory
        except FastHepError as error:
            if self.on_missing == "fail" and _is_missing(error):
                problem = f"{KIND}: op {call.op.name}: {error} (set `on_missing: cpu` to run it on the CPU)"
                raise OpError(problem).with_traceback(error.__traceback__) from error
            if self.on_missing == "fail":
                raise
            reason = str(error)
        except Exception as error:
            from fasthep_parsl.ops.columns.value_types import FOREIGN

            reason = summary_of(error)
            if self.on_missing == "fail":
                if not isinstance(error, FOREIGN):
                    raise
                hint = "set `on_missing: cpu` to run it on the CPU"
                problem = f"{KIND}: op {call.op.name} cannot run on the GPU: {reason} ({hint})"
                raise OpError(problem).with_traceback(error.__traceback__) from error
        if problem:
            _free(events)
            raise GpuMemoryError(problem)
        found = call(_on_host(events), **params)  # if this fails too, the op is wrong
        call.note({"fallbacks": 1, "reasons": {f"{call.op.name}: {reason}": 1}})
        return found

    def _events_for(self, call: Call, events: Any) -> Any:
        """Return the events that the op receives."""
        if events is None:
            return None
        if not hasattr(events, "on_gpu"):
            return _Chunks(self, call, events)
        wanted = self.fields if self.fields is not None else call.reads
        view: Events = events.on_gpu(events.fields if "*" in wanted else wanted, copies=not call.op.built_in)
        return view

    def after_stage(self) -> Note | None:
        """Return the copies outside of `wrap`: for a stage without this modifier, or to store a stream."""
        return device.pop_counts() or None

    @staticmethod
    def merge(a: Note, b: Note) -> Note:
        """Merge the notes of two calls or workers."""
        reasons = {**a.get("reasons", {})}
        for reason, number in b.get("reasons", {}).items():
            reasons[reason] = reasons.get(reason, 0) + number
        keys = [key for key in {**a, **b} if key != "reasons"]
        return {key: a.get(key, 0) + b.get(key, 0) for key in keys} | ({"reasons": reasons} if reasons else {})

    @staticmethod
    def write(notes: Mapping[str, Note], folder: Path) -> None:
        """Write ``transfers.json``: for each stage, copies, bytes, waits, and calls that ran on the CPU instead."""
        rows = {stage: {**dict.fromkeys(_NUMBERS, 0), **note} for stage, note in notes.items()}
        total = {key: sum(row[key] for row in rows.values()) for key in _NUMBERS}
        folder.mkdir(parents=True, exist_ok=True)
        content = {"schema_version": 1, "total": total, "stages": rows}
        atomic.write_text(folder / "transfers.json", json.dumps(content, indent=1, ensure_ascii=False) + "\n")


_NUMBERS = (
    "calls", "copies_up", "bytes_up", "copies_down", "bytes_down", "waits", "fallbacks", "without_gpu", "out_of_memory",
)  # fmt: skip


class _Chunks:
    """Chunks of a stream on the GPU, for an op that receives a whole dataset."""

    def __init__(self, modifier: GpuPreload, call: Call, chunks: Any) -> None:
        self._modifier, self._call, self._chunks = modifier, call, chunks

    def __iter__(self) -> Iterator[Any]:
        return (self._modifier._events_for(self._call, chunk) for chunk in self._chunks)


def _on_host(events: Any) -> Any:
    return events.on_host() if hasattr(events, "on_host") else events


def _leaving(result: Any) -> Any:
    """Return the result of an op as other stages see it: columns are copied to host memory when they are used."""
    if isinstance(result, tuple):
        return tuple(map(_on_host, result))
    return _on_host(result)


# --- errors -----------------------------------------------------------------------------------------------


def _is_missing(error: BaseException) -> bool:
    from fasthep_parsl.ops.columns.value_types import MissingError

    return isinstance(error, MissingError)


def _free(events: Any) -> None:
    """Release the GPU memory and the pinned memory of a failed pass."""
    from fasthep_parsl.ops.columns import gpu_reductions

    if hasattr(events, "release_gpu"):
        events.release_gpu()
    device.clear_uploads()
    gpu_reductions.clear_cache()
    device.cupy().get_default_memory_pool().free_all_blocks()
    device.cupy().get_default_pinned_memory_pool().free_all_blocks()


def _too_large(call: Call, events: Any, error: BaseException) -> str:
    """Return a message with the sizes of what did not fit."""
    module = device.cupy()
    free, total = module.cuda.runtime.memGetInfo()
    used = module.get_default_memory_pool().used_bytes()
    number = f"{len(events)} events, " if hasattr(events, "__len__") else ""
    sizes = f"{number}{_size(used)} in use by this worker, {_size(free)} of {_size(total)} free"
    return f"{KIND}: op {call.op.name} ran out of GPU memory: {sizes}: {error} (smaller `chunk_size`, fewer `fields`)"


def _size(number: float) -> str:
    return f"{number / 1e9:.3g} GB"


_failed: Counter[str] = Counter()
"""Stage → passes that ran out of GPU memory and are not noted yet."""
_found: list[str] = []


def why_not() -> str:
    """Return why this process cannot use a GPU; empty if it can. Checked once per process."""
    if not _found:
        _found.append(_look())
    return _found[0]


def _look() -> str:
    if os.environ.get("CUDA_VISIBLE_DEVICES") == "":
        return "no GPU was assigned to it (CUDA_VISIBLE_DEVICES is empty)"
    problem = _import()
    if problem:
        return problem
    cupy = device.cupy()
    if cupy.is_available():
        return _trial(cupy)
    try:
        number = cupy.cuda.runtime.getDeviceCount()
    except RuntimeError as error:
        return f"CuPy {cupy.__version__} finds no device: {error}{_versions(cupy)}"
    return f"CuPy {cupy.__version__} finds {number} devices and can use none of them{_versions(cupy)}"


def _import() -> str:
    """Import CuPy. Return why that failed; empty if it did not."""
    extra = "pip install fasthep-parsl[gpu-cu13], or [gpu-cu12] for drivers before 580"
    try:
        gpu_start.set_defaults()
        import cupy  # noqa: F401 - found in `sys.modules` from now on
    except ImportError as error:
        if "cupy" in str(error).lower() and getattr(error, "name", "") == "cupy":
            return f"CuPy is not installed ({extra})"
        return f"CuPy cannot be loaded: {error} ({extra})"
    except OSError as error:
        return f"CuPy cannot create its cache folder: {error} (set {gpu_start.CACHE} to a folder that it can write to)"
    return ""


def _trial(cupy: Any) -> str:
    """Return why a small kernel cannot be compiled and run; empty if it can. Headers or a compiler may be missing."""
    try:
        cupy.arange(2) + 1
        cupy.cuda.runtime.deviceSynchronize()
    except MemoryError:  # a pass reports that better
        return ""
    except Exception as error:  # noqa: BLE001 - the message reaches the user
        return f"CuPy {cupy.__version__} cannot run a kernel: {summary_of(error)}{_versions(cupy)}"
    return ""


def _versions(cupy: Any) -> str:
    """Return the CUDA versions of the driver and of CuPy, if they do not fit."""
    try:
        driver, built = cupy.cuda.runtime.driverGetVersion(), cupy.cuda.get_local_runtime_version()
    except RuntimeError:  # no driver
        return ""
    if not driver:
        return "; this machine has no NVIDIA driver"
    if driver // 1000 < built // 1000:
        return f"; it is built for CUDA {built // 1000}, the driver supports CUDA {driver // 1000} (use another extra)"
    return ""
