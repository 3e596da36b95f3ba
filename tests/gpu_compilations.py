"""What CuPy would compile for what is done on its stand-in, and about how long that would take in a new process.

CuPy 14.2 compiles a kernel for each function and combination of types (of arrays and of plain numbers). Most take a tenth
of a second. `all`, `any` and `count_nonzero` take two, since they are built with CUB; a larger array has two of them, and
the second depends on how many blocks the first had. Sums, extremes, sorts and cumulative sums come with CuPy as machine
code. Seconds are CPU time of NVRTC 13.5 for compute capability 9.0, measured on a core of a virtual machine (AMD EPYC)
with CuPy's headers and options. Module by hand: see `fasthep_parsl.ops.gpu.cuda_kernels`.
"""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np

import fake_cupy
from fake_cupy import ndarray

SECONDS = {"elementwise": 0.10, "cub": 1.9, "module": 0.35}
_REDUCTIONS = ("all", "any", "count_nonzero")
_BY_ARGUMENTS = ("where", "searchsorted", "repeat", "clip", "diff", "stack", "concatenate", "round", "around")
_MADE = ("arange", "full", "ones", "ones_like", "full_like")


def _kind(value):
    """Return what a kernel is compiled for: the type of an array, or of a plain number."""
    if isinstance(value, ndarray | np.generic):
        return str(value.dtype)
    if isinstance(value, list | tuple):
        return _kind(value[0]) if value else ""
    return type(value).__name__


class Compilations:
    """Kernels that were compiled: (kind, name, types)."""

    def __init__(self):
        self.all: dict[tuple, int] = {}

    def add(self, kind, name, *types):
        key = (kind, name, *types)
        self.all[key] = self.all.get(key, 0) + 1

    def number(self, kind=""):
        return sum(key[0] == kind or not kind for key in self.all)

    @property
    def seconds(self):
        return sum(SECONDS[key[0]] for key in self.all)

    def reduce(self, name, array):
        """Add what a reduction with CUB needs: blocks of up to 512 threads with 4 entries each, a second pass for more."""
        dtype = str(array.dtype)

        def threads(number):
            return int(min(max(2 ** np.ceil(np.log2(max((number + 3) // 4, 1))), 32), 512))

        if array.size <= 2048:
            self.add("cub", name, dtype, "one pass", threads(array.size))
            return
        self.add("cub", name, dtype, "first pass", 512)
        self.add("cub", name, dtype, "second pass", threads(-(-array.size // 2048)))

    def index(self, array, key):
        if isinstance(key, ndarray):
            if key.dtype == bool:
                self.add("elementwise", "nonzero", "bool")
            self.add("elementwise", "take", _kind(array), "int64")

    def put(self, array, key, value):
        if isinstance(key, ndarray) or _kind(value) != _kind(array):
            self.add("elementwise", "put" if isinstance(key, ndarray) else "copy", _kind(value), _kind(array))

    def watched(self, name, value, first=()):
        """Return a function that adds what it compiles; anything else as it is."""
        if not callable(value) or name not in fake_cupy.FUNCTIONS | fake_cupy.METHODS:
            return value

        def call(*args, **keywords):
            self.call(name, (*first, *args), keywords)
            return value(*args, **keywords)

        return call

    def call(self, name, args, keywords):
        """Add what a function or method compiles."""
        first = args[0] if args else None
        types = tuple(map(_kind, args))
        if name in _REDUCTIONS and isinstance(first, ndarray):
            self.reduce(name, first)
        elif name == "array_equal":
            self.add("elementwise", "equal", *types)
            self.reduce("all", ndarray(np.zeros(first.size, bool)))
        elif name == "bincount":
            self.add("elementwise", "less", types[0], "int")
            self.reduce("any", ndarray(np.zeros(first.size, bool)))
            self.add("elementwise", "bincount", types[0], _kind(keywords.get("weights")))
        elif name in ("flatnonzero", "nonzero", "compress"):
            self.add("elementwise", "nonzero", types[0])
            if name == "compress":
                self.add("elementwise", "take", types[0], "int64")
        elif name == "astype" and np.dtype(args[1]) != first.dtype:
            self.add("elementwise", "copy", types[0], np.dtype(args[1]).name)
        elif name in ("cumsum", "sum") and np.dtype(keywords.get("dtype") or first.dtype) != first.dtype:
            self.add("elementwise", "copy", types[0], np.dtype(keywords["dtype"]).name)
        elif name in _BY_ARGUMENTS:
            self.add("elementwise", name, *types)
        elif name in _MADE:
            self.add(
                "elementwise", "arange" if name == "arange" else "fill", np.dtype(keywords.get("dtype") or int).name
            )


@contextmanager
def counted():
    """Count while the context lasts; give the `Compilations`. The stand-in must be installed."""
    found = Compilations()
    module, raw = type(fake_cupy.module), fake_cupy.RawModule
    kept = {
        (owner, name): getattr(owner, name)
        for owner, names in {
            ndarray: ("__array_ufunc__", "__getitem__", "__setitem__", "__getattr__"),
            module: ("__getattr__",),
            raw: ("get_function",),
        }.items()
        for name in names
    }

    def ufunc(self, which, method, *inputs, **keywords):
        found.add("elementwise", which.__name__, *map(_kind, inputs))
        return kept[ndarray, "__array_ufunc__"](self, which, method, *inputs, **keywords)

    def getitem(self, key):
        found.index(self, key)
        return kept[ndarray, "__getitem__"](self, key)

    def setitem(self, key, value):
        found.put(self, key, value)
        return kept[ndarray, "__setitem__"](self, key, value)

    def method(self, name):
        return found.watched(name, kept[ndarray, "__getattr__"](self, name), (self,))

    def function(self, name):
        return found.watched(name, kept[module, "__getattr__"](self, name))

    def get_function(self, name):
        found.add("module", hash((self.code, self.options)))
        return kept[raw, "get_function"](self, name)

    for (owner, name), replacement in zip(kept, (ufunc, getitem, setitem, method, function, get_function), strict=True):
        setattr(owner, name, replacement)
    try:
        yield found
    finally:
        for (owner, name), original in kept.items():
            setattr(owner, name, original)
