"""Arrays in host memory or on a GPU: find out which, copy them, and read single values.

NumPy functions work on CuPy arrays. This module has what does not: functions that create arrays, type checks,
`numpy.repeat` with an array of counts, and conversions to Python values. Each of these conversions is a *wait*: the
host stops until the GPU has finished all work so far. Nothing here imports CuPy; without it every array is NumPy's.
"""

from __future__ import annotations

import sys
import weakref
from collections import Counter
from contextlib import AbstractContextManager, nullcontext
from functools import reduce
from typing import Any

from fasthep_parsl.ops.arrays import ak, np


class WeakArrayDict:
    """A mapping from arrays, by identity, to values. An entry disappears with its array."""

    def __init__(self) -> None:
        self._table: dict[int, tuple[weakref.ref[Any], Any]] = {}

    def get(self, array: Any) -> Any:
        """Return the value of `array`, or None."""
        entry = self._table.get(id(array))
        return entry[1] if entry is not None and entry[0]() is array else None

    def put(self, array: Any, value: Any) -> None:
        """Set the value of `array`."""
        key = id(array)
        self._table[key] = (weakref.ref(array, lambda _: self._table.pop(key, None)), value)

    def clear(self) -> None:
        """Remove all entries."""
        self._table.clear()


_counts: Counter[str] = Counter()
_streams: dict[str, Any] = {}
_offsets: dict[tuple[int, int], weakref.ref[Any]] = {}
_uploaded = WeakArrayDict()
_downloaded = WeakArrayDict()
_parents = WeakArrayDict()
_TYPES = "biuf"
"""NumPy kinds of numbers that are copied to a GPU."""
PINNED_FROM = 1 << 16
"""Size in bytes from which copies to the host use pinned memory: faster, but its allocation costs a call."""


def cupy() -> Any:
    """Return the module ``cupy`` if it was imported, else None."""
    return sys.modules.get("cupy")


def on_gpu(value: Any) -> bool:
    """Whether a flat array or an awkward array is on a GPU."""
    if isinstance(value, np.ndarray) or (module := cupy()) is None:
        return False
    return isinstance(value, module.ndarray) or (isinstance(value, ak.Array) and value.layout.backend.name == "cuda")


def is_array(value: Any) -> bool:
    """Whether `value` is an array of NumPy or CuPy."""
    if isinstance(value, np.ndarray):
        return True
    module = cupy()
    return module is not None and isinstance(value, module.ndarray)


def module_of(array: Any) -> Any:
    """Return the module, numpy or cupy, that creates arrays on the device of `array`."""
    return cupy() if on_gpu(array) else np


def stream() -> AbstractContextManager[Any]:
    """Return the CUDA stream of this process as a context manager."""
    module = cupy()
    if module is None:
        return nullcontext()
    if "one" not in _streams:
        _streams["one"] = module.cuda.Stream()
    return _streams["one"]  # type: ignore[no-any-return]


# --- statistics -----------------------------------------------------------------------------------------------


def pop_counts() -> dict[str, int]:
    """Return the copies and bytes ``up`` and ``down`` and the ``waits`` since the last call."""
    if not _counts:
        return {}
    found = dict(_counts)
    _counts.clear()
    return found


def count_wait(number: int = 1) -> None:
    """Count waits for the GPU inside of CuPy functions."""
    _counts["waits"] += number


# --- copies -----------------------------------------------------------------------------------------------


def gpu_supports(array: Any) -> bool:
    """Whether a flat array contains numbers or bools, which a GPU supports."""
    return array.dtype.kind in _TYPES


def upload(array: Any) -> Any:
    """Return a copy of a flat array on the GPU, without waiting for it.

    CuPy copies through pinned memory, in the order of the stream.
    """
    _counts["copies_up"] += 1
    _counts["bytes_up"] += array.nbytes
    with stream():
        return cupy().asarray(array)


def download(array: Any) -> Any:
    """Return a copy of a flat array in host memory. Waits for the GPU."""
    _counts["copies_down"] += 1
    _counts["bytes_down"] += array.nbytes
    with stream():
        if array.nbytes < PINNED_FROM:
            return array.get()
        import cupyx

        out = cupyx.empty_pinned(array.shape, array.dtype)
        return array.get(out=out)


def upload_offsets(offsets: Any) -> Any:
    """Return offsets on the GPU. Offsets that columns share are copied once."""
    found = _uploaded.get(offsets)
    if found is None:
        found = mark_normalised(upload(offsets))
        _uploaded.put(offsets, found)
        _downloaded.put(found, weakref.ref(offsets))
    return found


def download_offsets(offsets: Any) -> Any:
    """Return offsets in host memory. Shared offsets are copied once, and uploaded ones are not copied back."""
    found = _downloaded.get(offsets)
    if isinstance(found, weakref.ref):
        found = found()
    if found is None:
        found = download(offsets)
        _downloaded.put(offsets, found)
    return found


def clear_uploads() -> None:
    """Free the cached offsets on the GPU."""
    _uploaded.clear()
    _parents.clear()


def mark_normalised(offsets: Any) -> Any:
    """Record that `offsets` on the GPU start at 0 and end at the length of their content. Return them."""
    key = (address(offsets), len(offsets))
    _offsets[key] = weakref.ref(offsets, lambda dead: _offsets.pop(key, None) if _offsets.get(key) is dead else None)
    return offsets


def is_normalised(offsets: Any) -> bool:
    """Whether `offsets` are on the GPU and were marked as normalised."""
    return bool(_offsets) and on_gpu(offsets) and (address(offsets), len(offsets)) in _offsets


def address(array: Any) -> int:
    """Return the memory address of a flat array."""
    if isinstance(array, np.ndarray):
        return int(array.__array_interface__["data"][0])
    return int(array.data.ptr)


def same_device(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return all arrays on the GPU if one of them is, because NumPy and CuPy do not mix. Scalars are unchanged."""
    if cupy() is None or not any(map(on_gpu, values)):
        return values
    return tuple(upload(v) if isinstance(v, np.ndarray) and v.ndim else v for v in values)


# --- single values ----------------------------------------------------------------------------------------


def to_bool(value: Any) -> bool:
    """Return a scalar as bool. Waits if it is on the GPU."""
    if not isinstance(value, np.bool_) and on_gpu(value):
        count_wait()
    return bool(value)


def to_python(value: Any) -> Any:
    """Return a scalar as a Python number. Waits if it is on the GPU."""
    if on_gpu(value):
        count_wait()
    return value.item() if hasattr(value, "item") else value


# --- functions without NumPy dispatch -----------------------------------------------------------------


def all_of(masks: list[Any]) -> Any:
    """Return the logical and of masks."""
    return masks[0] if len(masks) == 1 else reduce(np.logical_and, same_device(tuple(masks)))


def any_of(masks: list[Any]) -> Any:
    """Return the logical or of masks."""
    return masks[0] if len(masks) == 1 else reduce(np.logical_or, same_device(tuple(masks)))


def parents(offsets: Any, number: int) -> Any:
    """Return the event of each of `number` objects on the GPU; computed once per offsets."""
    found = _parents.get(offsets)
    if found is None:
        found = np.searchsorted(offsets, cupy().arange(number), side="right") - 1
        _parents.put(offsets, found)
    return found


def repeat(values: Any, offsets: Any, number: int) -> Any:
    """Return one value per event repeated for each object of lists with `offsets`; `number` is the total of objects."""
    if not on_gpu(offsets):
        return np.repeat(values, offsets[1:] - offsets[:-1])
    values = same_device((offsets, values))[1]
    return values[parents(offsets, number)]


def cumulative_count(true: Any) -> Any:
    """Return the number of true values before each position, shape (len(true) + 1,)."""
    # 32-bit numbers stay in the cache: three times faster
    before = module_of(true).zeros(len(true) + 1, dtype=np.int32 if len(true) < 2**31 else np.int64)
    if on_gpu(true):
        before[1:] = np.cumsum(true, dtype=before.dtype)
    else:
        np.cumsum(true, out=before[1:])
    return before


def offsets_of(counts: Any) -> Any:
    """Return offsets (int64, shape (events + 1,)) of lists of length `counts`."""
    offsets = module_of(counts).zeros(len(counts) + 1, dtype=np.int64)
    if on_gpu(counts):
        offsets[1:] = np.cumsum(counts, dtype=np.int64)
        return mark_normalised(offsets)
    np.cumsum(counts, out=offsets[1:])
    return offsets


def as_float64(values: Any) -> Any:
    """Return a number or a flat array as float64."""
    return values.astype(np.float64, copy=False) if on_gpu(values) else np.asarray(values, dtype=np.float64)
