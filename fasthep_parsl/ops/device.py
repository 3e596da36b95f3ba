"""Arrays in the memory of a GPU beside those of the host: which is which, moving them, reading single values.

NumPy's functions work on arrays of CuPy as on their own. What does not is here: functions that create arrays, tests of
the type, `numpy.repeat` with an array of counts, and single values that Python decides on. Each of the last is a *wait*:
the host stops until the GPU has done all it was told so far. Nothing here imports CuPy; without it everything is NumPy.
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
    """What is known of arrays, found by the array itself and forgotten with it."""

    def __init__(self) -> None:
        self._table: dict[int, tuple[weakref.ref[Any], Any]] = {}

    def get(self, array: Any) -> Any:
        """Return what is known of `array`, None if nothing is."""
        entry = self._table.get(id(array))
        return entry[1] if entry is not None and entry[0]() is array else None

    def put(self, array: Any, known: Any) -> None:
        """Keep `known` as long as `array` lives."""
        key = id(array)
        self._table[key] = (weakref.ref(array, lambda _: self._table.pop(key, None)), known)

    def clear(self) -> None:
        """Forget all."""
        self._table.clear()


_counts: Counter[str] = Counter()
_streams: dict[str, Any] = {}
_offsets: dict[tuple[int, int], weakref.ref[Any]] = {}
_uploaded = WeakArrayDict()
_downloaded = WeakArrayDict()
_parents = WeakArrayDict()
_TYPES = "biuf"
"""Kinds of numbers that are moved."""
PINNED_FROM = 1 << 16
"""Bytes from which a copy to the host goes to pinned memory: it is faster, but costs a call to get it."""


def cupy() -> Any:
    """Return the module ``cupy`` if something has imported it, else None."""
    return sys.modules.get("cupy")


def on_gpu(value: Any) -> bool:
    """Whether a flat array, or an awkward array, lies on a GPU."""
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
    """Return the module, numpy or cupy, that makes arrays where `array` lies."""
    return cupy() if on_gpu(array) else np


def stream() -> AbstractContextManager[Any]:
    """Return the one stream on which this process works on its GPU, as a context."""
    module = cupy()
    if module is None:
        return nullcontext()
    if "one" not in _streams:
        _streams["one"] = module.cuda.Stream()
    return _streams["one"]  # type: ignore[no-any-return]


# --- counts -----------------------------------------------------------------------------------------------


def pop_counts() -> dict[str, int]:
    """Return what was moved and count_wait for since the last time: copies and bytes ``up`` and ``down``, ``waits``."""
    if not _counts:
        return {}
    found = dict(_counts)
    _counts.clear()
    return found


def count_wait(number: int = 1) -> None:
    """Count waits for the GPU, where a function of CuPy makes them."""
    _counts["waits"] += number


# --- moving -----------------------------------------------------------------------------------------------


def gpu_supports(array: Any) -> bool:
    """Whether a flat array holds numbers or bools, which a GPU can work on."""
    return array.dtype.kind in _TYPES


def upload(array: Any) -> Any:
    """Return a copy of a flat array on the GPU; the host goes on before it is there.

    CuPy copies through pinned memory, in the order of the stream.
    """
    _counts["copies_up"] += 1
    _counts["bytes_up"] += array.nbytes
    with stream():
        return cupy().asarray(array)


def download(array: Any) -> Any:
    """Return a copy of a flat array in host memory; waits for it."""
    _counts["copies_down"] += 1
    _counts["bytes_down"] += array.nbytes
    with stream():
        if array.nbytes < PINNED_FROM:
            return array.get()
        import cupyx

        out = cupyx.empty_pinned(array.shape, array.dtype)
        return array.get(out=out)


def upload_offsets(offsets: Any) -> Any:
    """Return offsets on the GPU: those that columns share are copied once."""
    found = _uploaded.get(offsets)
    if found is None:
        found = mark_normalised(upload(offsets))
        _uploaded.put(offsets, found)
        _downloaded.put(found, weakref.ref(offsets))
    return found


def download_offsets(offsets: Any) -> Any:
    """Return offsets in host memory: those that columns share are copied once, those that came from there not at all."""
    found = _downloaded.get(offsets)
    if isinstance(found, weakref.ref):
        found = found()
    if found is None:
        found = download(offsets)
        _downloaded.put(offsets, found)
    return found


def clear_uploads() -> None:
    """Forget what lies on the GPU beside columns: its memory is needed."""
    _uploaded.clear()
    _parents.clear()


def mark_normalised(offsets: Any) -> Any:
    """Note that `offsets` on the GPU start at 0 and end at the length of their content, to look at them no more."""
    key = (address(offsets), len(offsets))
    _offsets[key] = weakref.ref(offsets, lambda dead: _offsets.pop(key, None) if _offsets.get(key) is dead else None)
    return offsets


def is_normalised(offsets: Any) -> bool:
    """Whether `offsets` lie on the GPU and were made by us."""
    return bool(_offsets) and on_gpu(offsets) and (address(offsets), len(offsets)) in _offsets


def address(array: Any) -> int:
    """Return where the memory of a flat array begins."""
    if isinstance(array, np.ndarray):
        return int(array.__array_interface__["data"][0])
    return int(array.data.ptr)


def same_device(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return flat values all on the GPU if one of them is: NumPy and CuPy do not mix. Numbers stay as they are."""
    if cupy() is None or not any(map(on_gpu, values)):
        return values
    return tuple(upload(v) if isinstance(v, np.ndarray) and v.ndim else v for v in values)


# --- single values ----------------------------------------------------------------------------------------


def to_bool(value: Any) -> bool:
    """Return a single truth; a wait if it lies on the GPU."""
    if not isinstance(value, np.bool_) and on_gpu(value):
        count_wait()
    return bool(value)


def to_python(value: Any) -> Any:
    """Return a single number as Python's; a wait if it lies on the GPU."""
    if on_gpu(value):
        count_wait()
    return value.item() if hasattr(value, "item") else value


# --- what NumPy's dispatch does not reach -----------------------------------------------------------------


def all_of(masks: list[Any]) -> Any:
    """Return where all masks hold."""
    return masks[0] if len(masks) == 1 else reduce(np.logical_and, same_device(tuple(masks)))


def any_of(masks: list[Any]) -> Any:
    """Return where one of the masks holds."""
    return masks[0] if len(masks) == 1 else reduce(np.logical_or, same_device(tuple(masks)))


def parents(offsets: Any, number: int) -> Any:
    """Return for each of `number` objects on the GPU the event it belongs to; found once for each structure."""
    found = _parents.get(offsets)
    if found is None:
        found = np.searchsorted(offsets, cupy().arange(number), side="right") - 1
        _parents.put(offsets, found)
    return found


def repeat(values: Any, offsets: Any, number: int) -> Any:
    """Return one value per event repeated for each object of lists with `offsets`, `number` objects in all."""
    if not on_gpu(offsets):
        return np.repeat(values, offsets[1:] - offsets[:-1])
    values = same_device((offsets, values))[1]
    return values[parents(offsets, number)]


def cumulative_count(true: Any) -> Any:
    """Return how many of the bools before each position are true, shape (len(true) + 1,)."""
    # 32 bits stay in the cache: three times as fast
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
