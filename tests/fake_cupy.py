"""A stand-in for CuPy on a machine without a GPU: arrays that NumPy cannot look into, and a count of all that moves.

It has the names that CuPy 14.2 has, and refuses what CuPy refuses: NumPy's arrays beside its own, implicit conversion,
methods of ufuncs, an array of counts for `repeat`, keywords that its methods lack, a Python bool as condition of `where`.
Its results are NumPy's, but for `//` and `%` of floats, which CuPy computes in its own way. It shows where arrays lie,
not how fast anything is, nor that kernels are right.
"""

from __future__ import annotations

import sys
import types
import weakref
from collections import Counter
from contextlib import contextmanager
from typing import ClassVar

import numpy as np

_FUNCTIONS = """
abs absolute acos acosh add all allclose alltrue amax amin angle any append apply_along_axis apply_over_axes
arange arccos arccosh arcsin arcsinh arctan arctan2 arctanh argmax argmin argpartition argsort argwhere around
array array2string array_equal array_equiv array_repr array_split array_str asanyarray asarray asarray_chkfinite
ascontiguousarray asfarray asfortranarray asin asinh asnumpy astype atan atan2 atanh atleast_1d atleast_2d
atleast_3d average bartlett base_repr binary_repr bincount bitwise_and bitwise_count bitwise_invert
bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift bitwise_xor blackman broadcast_arrays
broadcast_shapes broadcast_to byte_bounds can_cast cbrt ceil choose clear_memo clip column_stack common_type
compress concat concatenate conj conjugate convolve copy copysign copyto corrcoef correlate cos cosh
count_nonzero cov cross cumprod cumproduct cumsum cumulative_prod cumulative_sum deg2rad degrees delete diag
diag_indices diag_indices_from diagflat diagonal diff digitize disp divide divmod dot dsplit dstack ediff1d
einsum empty empty_like equal exp exp2 expand_dims expm1 extract eye fabs fill_diagonal find_common_type fix
flatnonzero flip fliplr flipud float_power floor floor_divide fmax fmin fmod format_float_positional
format_float_scientific frexp fromDlpack from_dlpack frombuffer fromfile fromfunction fromiter fromstring full
full_like fuse gcd genfromtxt get_array_module get_array_wrap get_default_memory_pool
get_default_pinned_memory_pool get_printoptions gradient greater greater_equal hamming hanning heaviside
histogram histogram2d histogramdd hsplit hstack hypot i0 identity imag in1d indices inner interp intersect1d
invert is_available isclose iscomplex iscomplexobj isdtype isfinite isfortran isin isinf isnan isneginf isposinf
isreal isrealobj isscalar issctype issubclass_ issubdtype issubsctype iterable ix_ kaiser kron lcm ldexp
left_shift less less_equal lexsort linspace load loadtxt log log10 log1p log2 logaddexp logaddexp2 logical_and
logical_not logical_or logical_xor logspace make_aligned_dtype mask_indices matmul matrix_transpose max maximum
may_share_memory mean median memoize meshgrid min min_scalar_type minimum mintypecode mod modf moveaxis msort
multiply nan_to_num nanargmax nanargmin nancumprod nancumsum nanmax nanmean nanmedian nanmin nanprod nanstd
nansum nanvar ndim negative nextafter nonzero not_equal obj2sctype ones ones_like outer packbits pad partition
percentile permute_dims piecewise place poly polyadd polyfit polymul polysub polyval positive pow power
printoptions prod product promote_types ptp put put_along_axis putmask quantile rad2deg radians ravel
ravel_multi_index real real_if_close reciprocal remainder repeat require reshape resize result_type right_shift
rint roll rollaxis roots rot90 round round_ row_stack safe_eval save savetxt savez savez_compressed sctype2char
searchsorted select set_printoptions set_string_function setdiff1d setxor1d shape shares_memory show_config sign
signbit sin sinc sinh size sometrue sort sort_complex split sqrt square squeeze stack std subtract sum swapaxes
take take_along_axis tan tanh tensordot tile trace transpose trapezoid trapz tri tril tril_indices
tril_indices_from trim_zeros triu triu_indices triu_indices_from true_divide trunc typename union1d unique
unique_all unique_counts unique_inverse unique_values unpackbits unravel_index unwrap vander var vdot vsplit
vstack where who zeros zeros_like
"""
_METHODS = """
all any argmax argmin argsort astype base clip compress copy cumsum dtype fill flags flat flatten get item
itemsize max mean min nbytes ndim nonzero prod ravel repeat reshape round searchsorted set shape size sort
squeeze std strides sum swapaxes take tolist trace transpose var view T
"""
_REDUCES = "axis out keepdims"
_SUMS = "axis dtype out keepdims"
_SIGNATURES = {
    "max": _REDUCES, "min": _REDUCES, "all": _REDUCES, "any": _REDUCES, "sum": _SUMS, "prod": _SUMS, "mean": _SUMS,
    "std": "axis dtype out ddof keepdims", "var": "axis dtype out ddof keepdims", "cumsum": "axis dtype out",
    "argmax": "axis out dtype keepdims", "argmin": "axis out dtype keepdims", "argsort": "axis kind", "sort": "axis kind",
    "astype": "dtype order casting subok copy", "compress": "condition axis out", "copy": "order", "fill": "value",
    "flatten": "order", "item": "", "nonzero": "", "ravel": "order", "repeat": "repeats axis", "round": "decimals out",
    "searchsorted": "v side sorter", "squeeze": "axis", "take": "indices axis out", "tolist": "", "view": "dtype array_class",
}  # fmt: skip
"""Method → its arguments; those of the function of that name are the same, after the array."""
_SHARED = frozenset(
    ("max", "min", "all", "any", "sum", "prod", "mean", "std", "var", "cumsum", "argmax", "argmin", "argsort")
)
FUNCTIONS, METHODS = frozenset(_FUNCTIONS.split()), frozenset(_METHODS.split())
"""Names in CuPy 14.2.0 and on its arrays."""

stats: Counter[str] = Counter()
"""Copies and bytes ``up`` and ``down``, ``waits`` (single values read, sizes asked for), ``kernels`` of awkward."""


class Memory:
    """How much lies on the GPU, and how much may."""

    used = 0
    most = None

    @classmethod
    def take(cls, size):
        if cls.most is not None and cls.used + size > cls.most:
            raise OutOfMemoryError(f"Out of memory allocating {size} bytes (allocated so far: {cls.used} bytes).")
        cls.used += size
        for hook in MemoryHook.active.values():
            hook.malloc_postprocess(device_id=0, size=size, mem_size=size, mem_ptr=0, pmem_id=0)

    @classmethod
    def give(cls, size):
        cls.used -= size


class OutOfMemoryError(MemoryError):
    pass


class MemoryHook:
    """What is told of each piece of memory that is given out; two of one name cannot be active at once."""

    name = "MemoryHook"
    active: ClassVar[dict[str, MemoryHook]] = {}

    def __enter__(self):
        if self.name in self.active:
            raise KeyError(f"memory hook {self.name} already exists")
        self.active[self.name] = self
        return self

    def __exit__(self, *_error):
        del self.active[self.name]

    def malloc_postprocess(self, **_keywords):
        pass


def _check(name, args, keywords, first=()):
    """Refuse arguments that CuPy does not know."""
    known = [*first, *_SIGNATURES[name].split()]
    unknown = [key for key in keywords if key not in known]
    if unknown:
        raise TypeError(f"{name}() got an unexpected keyword argument '{unknown[0]}'")
    if len(args) > len(known):
        raise TypeError(f"{name}() takes at most {len(known)} positional arguments ({len(args)} given)")


def _workspace(array):
    """Need what Thrust needs to sort; without it CuPy raises what C++ does, no error of its own."""
    if Memory.most is not None and Memory.used + 3 * 8 * array.size > Memory.most:
        raise MemoryError("std::bad_alloc")


def _divide(name, a, b):
    """Compute `//` and `%` as CuPy does."""
    dtype = np.result_type(*(getattr(part, "dtype", part) for part in (a, b)))
    if dtype.kind != "f":
        return getattr(np, name)(a, b)
    a, b = (np.asarray(part, dtype) for part in (a, b))
    with np.errstate(all="ignore"):
        floor = np.floor(np.true_divide(a, b))
        return np.asarray(floor if name == "floor_divide" else a - floor * b)


def _inside(value):
    if isinstance(value, ndarray):
        return value._a
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}")
    if isinstance(value, (list, tuple)):
        return type(value)(map(_inside, value))
    if isinstance(value, dict):
        return {key: _inside(part) for key, part in value.items()}
    return value


def _outside(value):
    if isinstance(value, np.ndarray | np.generic):
        return ndarray(np.asarray(value))
    if isinstance(value, bool | int) and not isinstance(value, np.generic):
        return ndarray(np.asarray(value))  # CuPy has no scalars
    if isinstance(value, (list, tuple)):
        return type(value)(map(_outside, value))
    return value


class _Pointer:
    def __init__(self, ptr):
        self.ptr = ptr


class ndarray:
    __module__ = "cupy"
    __array_priority__ = 100
    __hash__ = None

    def __init__(self, array):
        self._a = array
        if array.base is None and array.nbytes:
            Memory.take(array.nbytes)
            weakref.finalize(array, Memory.give, array.nbytes)

    def __array__(self, *_args, **_keywords):
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct a NumPy array"
        )

    def get(self, stream=None, order="C", out=None, blocking=True):
        stats["copies_down"] += 1
        stats["bytes_down"] += self._a.nbytes
        if out is None:
            return self._a.copy()
        assert out.shape == self._a.shape
        assert out.dtype == self._a.dtype
        out[...] = self._a
        return out

    @property
    def data(self):
        return _Pointer(self._a.__array_interface__["data"][0])

    @property
    def __cuda_array_interface__(self):
        return {**self._a.__array_interface__, "version": 3}

    def __getattr__(self, name):
        if name not in METHODS:
            raise AttributeError(f"'ndarray' object has no attribute {name!r}")
        value = getattr(self._a, name)
        if name in ("item", "tolist"):
            return lambda: self._single(lambda _: value())
        if not callable(value):
            return _outside(value) if isinstance(value, np.ndarray) else value
        if name == "repeat":
            return lambda repeats, axis=None: _repeat(self, repeats, axis)

        def call(*args, **keywords):
            if name in _SIGNATURES:
                _check(name, args, keywords)
            if name == "argsort":
                _workspace(self)
            stats["waits"] += name in ("compress", "nonzero")
            return _outside(value(*_inside(args), **_inside(keywords)))

        return call

    def __array_ufunc__(self, ufunc, method, *inputs, **keywords):
        if method in ("reduce", "accumulate", "reduceat", "at") and ufunc.__name__ in FUNCTIONS:
            return _by_method(ufunc, method, inputs, keywords)
        if method != "__call__" or set(keywords) - {"dtype", "out", "casting"} or ufunc.__name__ not in FUNCTIONS:
            raise TypeError(f"operand type(s) do not support {ufunc.__name__}.{method} {sorted(keywords)}")
        out = keywords.pop("out", None)
        if ufunc.__name__ in ("floor_divide", "remainder"):
            result = _outside(_divide(ufunc.__name__, *_inside(inputs)))
        else:
            result = _outside(ufunc(*_inside(inputs), **_inside(keywords)))
        if out is not None:
            out[0]._a[...] = result._a
            return out[0]
        return result

    def __array_function__(self, function, kinds, args, keywords):
        name = function.__name__
        if name not in FUNCTIONS or any(kind not in (ndarray, np.ndarray) for kind in kinds):
            return NotImplemented
        return getattr(module, name)(*args, **keywords)

    def _key(self, key):
        keys = key if isinstance(key, tuple) else (key,)
        for part in keys:
            if isinstance(part, ndarray) and part.dtype == bool:
                stats["waits"] += 1
        return _inside(key)

    def __getitem__(self, key):
        return _outside(self._a[self._key(key)])

    def __setitem__(self, key, value):
        self._a[_inside(key)] = _inside(value)

    def __len__(self):
        return len(self._a)

    def __iter__(self):
        return (ndarray(np.asarray(part)) for part in self._a)

    def _single(self, convert):
        stats["waits"] += 1
        return convert(self._a)

    def __bool__(self):
        return self._single(bool)

    def __int__(self):
        return self._single(int)

    def __float__(self):
        return self._single(float)

    def __index__(self):
        return self._single(lambda a: a.__index__())

    def __repr__(self):
        return f"fake({self._a!r})"


_BY_METHOD = {("add", "reduce"): "sum", ("multiply", "reduce"): "prod", ("add", "accumulate"): "cumsum"}


def _by_method(ufunc, method, inputs, keywords):
    if (ufunc.__name__, method) not in _BY_METHOD:
        raise NotImplementedError(f"`cupy_{ufunc.__name__}.{method}` is not supported yet")
    array, *rest = inputs
    axis, *rest = rest or (keywords.pop("axis", 0),)
    return getattr(array, _BY_METHOD[ufunc.__name__, method])(axis, *rest, **keywords)


def _searched(a, v):
    """Refuse what CuPy refuses, in its words."""
    if not isinstance(a, ndarray):
        raise NotImplementedError("Only int or ndarray are supported for a")
    if not isinstance(v, ndarray | int | float):
        raise NotImplementedError("Only int, float or ndarray are supported for v")


def _operator(name):
    ufunc = {"truediv": "true_divide", "floordiv": "floor_divide", "mod": "remainder", "pow": "power", "and": "bitwise_and",
             "or": "bitwise_or", "xor": "bitwise_xor", "lt": "less", "le": "less_equal", "gt": "greater",
             "ge": "greater_equal", "eq": "equal", "ne": "not_equal", "neg": "negative", "pos": "positive",
             "invert": "invert", "abs": "absolute", "add": "add", "sub": "subtract", "mul": "multiply",
             "lshift": "left_shift", "rshift": "right_shift"}[name]  # fmt: skip

    def plain(self, *others):
        return getattr(np, ufunc)(self, *others)

    def reverse(self, other):
        return getattr(np, ufunc)(other, self)

    def inplace(self, other):
        self._a[...] = _inside(getattr(np, ufunc)(self, other))
        return self

    setattr(ndarray, f"__{name}__", plain)
    if name not in ("lt", "le", "gt", "ge", "eq", "ne", "neg", "pos", "invert", "abs"):
        setattr(ndarray, f"__r{name}__", reverse)
        setattr(ndarray, f"__i{name}__", inplace)


for _name in [
    "add",
    "sub",
    "mul",
    "truediv",
    "floordiv",
    "lshift",
    "rshift",
    "mod",
    "pow",
    "and",
    "or",
    "xor",
    "lt",
    "le",
    "gt",
    "ge",
    "eq",
    "ne",
    "neg",
    "pos",
    "invert",
    "abs",
]:
    _operator(_name)


def _repeat(array, repeats, axis=None):
    if isinstance(repeats, ndarray | np.ndarray):
        raise ValueError("cupy.ndarray cannot be specified as `repeats` argument.")  # noqa: TRY004 - as CuPy does
    return _outside(array._a.repeat(repeats, axis))


def _array(value, dtype=None, copy=None, order="K", blocking=False, **_keywords):
    if isinstance(value, ndarray):
        same = dtype is None or value.dtype == np.dtype(dtype)
        return value if same and not copy else ndarray(value._a.astype(dtype or value.dtype))
    host = np.array(value, dtype=dtype)
    if host.dtype.kind not in "biufc":
        raise ValueError(f"Unsupported dtype {host.dtype}")
    stats["copies_up"] += 1
    stats["bytes_up"] += host.nbytes
    return ndarray(host)


def _asnumpy(value, **_keywords):
    return value.get() if isinstance(value, ndarray) else np.asarray(value)


def _where(condition, *others):
    if not isinstance(condition, ndarray | np.generic):  # a method of it is called
        raise AttributeError(f"{type(condition).__name__!r} object has no attribute 'astype'")  # noqa: TRY004 - as CuPy does
    stats["waits"] += not others
    return _outside(np.where(_inside(condition), *_inside(others)))


WAITS = {"flatnonzero": 1, "nonzero": 1, "compress": 1, "extract": 1, "bincount": 2, "unique": 1}


class _Module(types.ModuleType):
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        value = getattr(np, name, None)
        if isinstance(value, (type, float, type(None))) and name not in FUNCTIONS:
            if value is None and name != "newaxis":
                raise AttributeError(f"module 'cupy' has no attribute {name!r}")
            return value
        if name not in FUNCTIONS:
            raise AttributeError(f"module 'cupy' has no attribute {name!r}")

        def call(*args, **keywords):
            if name in _SHARED:
                _check(name, args, keywords, first="a")
            if name == "argsort":
                _workspace(args[0])
            if name == "searchsorted":
                _searched(*args[:2])
            if name == "interp":  # which searches
                _searched(args[1], args[0])
            if name in ("floor_divide", "remainder"):
                return _outside(_divide(name, *_inside(args)))
            stats["waits"] += WAITS.get(name, 0)
            result = value(*_inside(args), **_inside(keywords))
            return result if name in ("ndim", "shape", "size", "result_type", "can_cast") else _outside(result)

        return call


class Stream:
    entered = 0

    def __init__(self, null=False, non_blocking=False):
        self.ptr = 0

    def __enter__(self):
        Stream.entered += 1
        return self

    def __exit__(self, *_error):
        Stream.entered -= 1

    def synchronize(self):
        stats["waits"] += 1


def _bins_of(entries, flat, extent, bins):
    flat[...] = flat * extent + bins


def _regular(entries, _type, n, low, width, bins, extent, flat):
    with np.errstate(all="ignore"):
        z = (entries.astype(np.float64) - low) / width
        inside = np.where((z < 1) & (z >= 0), z, 0.0) * bins
        _bins_of(entries, flat, extent, np.where(z < 1, np.where(z >= 0, inside.astype(np.int64) + 1, 0), bins + 1))


def _variable(entries, _type, n, edges, number, extent, flat):
    _bins_of(entries, flat, extent, np.searchsorted(edges, entries.astype(np.float64), side="right"))


def _count_true(mask, n, out):
    out[...] += np.count_nonzero(mask)


def _count_bins(flat, n, size, counts):
    counts += np.bincount(flat, minlength=size)


def _sum_bins(flat, weights, n, size, squares, sums):
    sums[0] += np.bincount(flat, weights, minlength=size)
    if squares:
        sums[1] += np.bincount(flat, weights * weights, minlength=size)


def _list_pairs(offsets, pair_offsets, n, events, first, second):
    from fasthep_parsl.ops.collections import pairs

    pairs.list_pairs.python(int(n), offsets, pair_offsets, events, first, second)


def _pair_mass(first, second, n, pt, _pt, eta, _eta, phi, _phi, mass, _mass, out):
    from fasthep_parsl.ops.collections import pairs

    pairs.pair_mass.python(int(n), first, second, pt, eta, phi, mass, out)


RAW = {
    "count_true": _count_true, "regular_bins": _regular, "variable_bins": _variable,
    "count_bins": _count_bins, "sum_bins": _sum_bins, "list_pairs": _list_pairs,
    "pair_mass": _pair_mass,
}  # fmt: skip
"""Kernels by hand as NumPy would compute them; `tests/unit/ops/test_gpu_kernels.py` compares them with their source."""


class RawModule:
    """Takes launches of kernels by hand, with arguments as CuPy takes them."""

    def __init__(self, *, code, options=()):
        self.code, self.options = code, options

    def get_function(self, name):
        if f" {name}(" not in self.code:
            raise ValueError(f"CUDA_ERROR_NOT_FOUND: {name}")

        def launch(grid, block, args):
            assert all(isinstance(part, ndarray | np.generic) for part in args), "a type that CuPy guesses"
            assert all(part._a.flags.c_contiguous for part in args if isinstance(part, ndarray))
            assert 0 < grid[0] * block[0] <= 1024 * 1024
            RAW[name](*(part._a if isinstance(part, ndarray) else part for part in args))

        return launch


class _Pool:
    freed = 0

    def free_all_blocks(self):
        _Pool.freed += 1

    def used_bytes(self):
        return Memory.used


class _PinnedPool:
    freed = 0

    def free_all_blocks(self):
        _PinnedPool.freed += 1


pool, pinned_pool = _Pool(), _PinnedPool()
module = _Module("cupy")
module.ndarray = ndarray
module.__version__ = "14.2.0"
module.array = module.asarray = module.ascontiguousarray = _array
module.asnumpy = _asnumpy
module.RawModule = RawModule
module.repeat = _repeat
module.where = _where
module.is_available = lambda: True
module.get_default_memory_pool = lambda: pool
module.get_default_pinned_memory_pool = lambda: pinned_pool
module.cuda = types.SimpleNamespace(
    Stream=Stream,
    get_current_stream=Stream,
    is_available=lambda: True,
    MemoryHook=MemoryHook,
    memory=types.SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
    runtime=types.SimpleNamespace(
        memGetInfo=lambda: (int(1e9), int(8e9)), getDeviceCount=lambda: 1, deviceSynchronize=lambda: None
    ),
)
cupyx = types.ModuleType("cupyx")
cupyx.empty_pinned = np.empty


@contextmanager
def installed():
    """Be CuPy, and awkward's kernels on the GPU those of the CPU, while the context lasts."""
    import awkward_cpp
    from awkward._backends.cupy import CupyBackend
    from awkward._kernels import NumpyKernel

    from fasthep_parsl.ops.gpu import cuda_kernels

    def kernel(_self, index):
        made = NumpyKernel(awkward_cpp.cpu_kernels.kernel[index], index)
        stats["kernels"] += 1
        return lambda *args: made(*map(_inside, args))

    before = {name: sys.modules.get(name) for name in ("cupy", "cupyx")}
    own = CupyBackend.__getitem__
    sys.modules |= {"cupy": module, "cupyx": cupyx}
    CupyBackend.__getitem__ = kernel
    stats.clear()
    Memory.most = None
    cuda_kernels.forget()
    try:
        yield module
    finally:
        CupyBackend.__getitem__ = own
        for name, old in before.items():
            if old is None:
                sys.modules.pop(name)
            else:
                sys.modules[name] = old


@contextmanager
def kernels_in_python():
    """Run the kernels of this package on arrays of the stand-in as plain Python, while the context lasts."""
    from fasthep_parsl.kernels import declare

    build, launch = declare.build, declare.Kernel._launch

    def built(source, device, kinds):
        return (
            declare.Built(None, "loaded", 0.0, lambda error: error) if device == "gpu" else build(source, device, kinds)
        )

    used = set()

    def launched(self, _built, events, given):
        used.add(self)
        self.python(events, *(value._a if isinstance(value, ndarray) else value for value in given))
        return 0

    declare.build, declare.Kernel._launch = built, launched
    try:
        yield
    finally:
        declare.build, declare.Kernel._launch = build, launch
        for kernel in used:
            kernel._built = {key: known for key, known in kernel._built.items() if known.loop is not None}
