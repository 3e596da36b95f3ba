"""fasthep-parsl: run FAST-HEP workflows on Parsl, each stage on its own pool.

>>> import fasthep_parsl as fp
>>> fp.run("dimuon.yaml", site="local")  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fasthep_parsl.version import __version__

if TYPE_CHECKING:
    from fasthep_parsl.driver import compile_plan, open_run, run
    from fasthep_parsl.errors import IncompleteRunError, IncompleteRunWarning
    from fasthep_parsl.interfaces.file_parameters import InputFile, InputFolder
    from fasthep_parsl.kernels import float64, kernel
    from fasthep_parsl.ops.declare import op
    from fasthep_parsl.ops.lists import jagged, lists

__all__ = [
    "IncompleteRunError",
    "IncompleteRunWarning",
    "InputFile",
    "InputFolder",
    "__version__",
    "compile_plan",
    "float64",
    "jagged",
    "kernel",
    "lists",
    "op",
    "open_run",
    "run",
]

_MODULES = {
    "IncompleteRunError": "fasthep_parsl.errors",
    "IncompleteRunWarning": "fasthep_parsl.errors",
    "InputFile": "fasthep_parsl.interfaces.file_parameters",
    "InputFolder": "fasthep_parsl.interfaces.file_parameters",
    "compile_plan": "fasthep_parsl.driver",
    "float64": "fasthep_parsl.kernels",
    "jagged": "fasthep_parsl.ops.lists",
    "kernel": "fasthep_parsl.kernels",
    "lists": "fasthep_parsl.ops.lists",
    "op": "fasthep_parsl.ops.declare",
    "open_run": "fasthep_parsl.driver",
    "run": "fasthep_parsl.driver",
}


def __getattr__(name: str) -> Any:
    """Import a public name at its first use, so that ``import fasthep_parsl`` stays fast."""
    import importlib

    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names, also those that are not imported yet."""
    return sorted(__all__)
