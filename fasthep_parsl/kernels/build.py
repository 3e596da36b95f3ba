"""Compile a kernel with numba: write the generated module and import it, or load machine code from the cache."""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fasthep_parsl.kernels import cache
from fasthep_parsl.kernels.complaint import complaint
from fasthep_parsl.kernels.generate import ArgumentKind, generate
from fasthep_parsl.kernels.source import KernelSource
from fasthep_parsl.kernels.target import Device


@dataclass
class Built:
    """A compiled kernel.

    Attributes
    ----------
    loop : callable
        ``loop(n, *arguments)``. For a GPU it is launched with a geometry.
    ready : "loaded" or "compiled"
        Whether its machine code was on disk. For a GPU it does not exist before the first launch.
    seconds : float
        Seconds for importing and compiling.
    refuse : callable
        Turns numba's error at the first launch into an error for the author.
    """

    loop: Any
    ready: Literal["loaded", "compiled"]
    seconds: float
    refuse: Callable[[Exception], Exception]


def build(source: KernelSource, device: Device, kinds: tuple[ArgumentKind, ...]) -> Built:
    """Compile a kernel for arguments of these kinds, or load it from the cache.

    Raises
    ------
    OpError
        It does not compile. Contains the author's line and numba's reason.
    """
    start = time.perf_counter()
    module = generate(source, device, kinds)
    name = source.kernel.name
    path = cache.store(module.text, f"{name}_{device}")

    def refuse(error: Exception) -> Exception:
        return complaint(error, name, device, path.name, module.places)

    try:
        loop = _imported(path)
    except Exception as error:  # numba raises many types of errors, also built-in ones
        raise refuse(error) from error
    loaded = device == "cpu" and bool(sum(loop.stats.cache_hits.values())) if hasattr(loop, "stats") else False
    return Built(loop, "loaded" if loaded else "compiled", time.perf_counter() - start, refuse)


def _imported(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = made  # numba finds a function's globals through its module
    try:
        spec.loader.exec_module(made)
    except BaseException:
        del sys.modules[path.stem]
        raise
    return made.loop
