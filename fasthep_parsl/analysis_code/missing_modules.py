"""A module that workers do not have: name it, the code that imports it and the environment, and say what to do."""

from __future__ import annotations

import socket
import sys

from fasthep_parsl.analysis_code.finder import FINDER
from fasthep_parsl.errors import PoolError


class MissingModuleError(PoolError):
    """Analysis code imports a module that the environment of a pool does not have. All its workers are alike."""


def missing_module(error: ModuleNotFoundError, where: str, environment: str = "") -> MissingModuleError:
    """Return the error for an import that failed on a worker.

    Parameters
    ----------
    error : ModuleNotFoundError
        The error of Python.
    where : str
        ``file:line`` of the import, or the stage.
    environment : str
        Kind of the environment, empty if the run has none.
    """
    name = error.name or str(error)
    kind = f"the environment `{environment}`" if environment else "the environment of the workers"
    version = ".".join(map(str, sys.version_info[:3]))
    place = f"{kind} (Python {version}, {sys.executable}, on {socket.gethostname()})"
    if FINDER.knows(name.partition(".")[0]):
        what = f"{where} imports `{name}`, which is not in the plan, because no import with this name is in the source"
        return MissingModuleError(f"{what}: list its package in `use.packages`")
    advice = "install it there, or use an environment that has it; if it is your own code, list it in `use.packages`"
    return MissingModuleError(f"{where} imports `{name}`, which {place} does not have: {advice}")
