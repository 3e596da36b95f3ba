"""Modules of analysis code (``use``): import them and verify their content. Table of all ops."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from fasthep_parsl import registry
from fasthep_parsl.analysis_code.finder import FINDER, VerifiedFile
from fasthep_parsl.analysis_code.missing_modules import missing_module
from fasthep_parsl.errors import ConfigError, Location, Problem, suggest
from fasthep_parsl.interfaces import Op
from fasthep_parsl.plan import PlanCode, PlanModule


def activate(code: Sequence[PlanCode], folder: Path | None = None) -> None:
    """Let imports find the modules of a plan, and no other analysis code.

    Parameters
    ----------
    code : sequence of PlanCode
        The files of the plan.
    folder : Path, optional
        Folder with their copies. Default: the originals.
    """
    FINDER.activate({file.module: VerifiedFile(_place(file, folder), file.sha256) for file in code if file.module})
    for root in {str(_root(file, folder)) for file in code if file.module and folder is not None} - {*sys.path}:
        sys.path.append(root)  # after all libraries; for processes that ops start
        FINDER.appended.add(root)


@contextmanager
def session_kept() -> Iterator[None]:
    """Let the modules of this session be as before at the end of the block, whatever analysis code was imported."""
    try:
        yield
    finally:
        FINDER.release()
        sys.path[:] = [entry for entry in sys.path if entry not in FINDER.appended]


def import_analysis_module(
    name: str, code: Sequence[PlanCode], folder: Path | None = None, environment: str = ""
) -> ModuleType:
    """Import a module of active analysis code.

    Raises
    ------
    ConfigError
        It cannot be imported, or was edited after the plan was made. Contains the line that failed.
    MissingModuleError
        It imports a module that this environment does not have; only for copies.
    """
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        if isinstance(error, ConfigError):
            raise
        path = next(Path(file.path) for file in code if file.module == name)
        where = line_of(error, code, folder) or Location(str(path), 1, 1)
        if isinstance(error, ModuleNotFoundError) and folder is not None:
            raise missing_module(error, f"`{Path(where.file).name}:{where.line}`", environment) from error
        message = f"analysis module `{path.name}` cannot be imported: {type(error).__name__}: {error}"
        raise ConfigError(Problem("E112", message, where=where, hint=_hint(error))) from error


def line_of(error: BaseException, code: Sequence[PlanCode], folder: Path | None = None) -> Location | None:
    """Return the line of analysis code that failed: the last one that ran, in the original file; None if there is none.

    Parameters
    ----------
    error : BaseException
        The error.
    code : sequence of PlanCode
        The analysis code.
    folder : Path, optional
        Folder with the copies that were imported.
    """
    originals = {str(_place(file, folder)): file.path for file in code if file.module}
    if isinstance(error, SyntaxError) and error.lineno and error.filename in originals:
        return Location(originals[error.filename], error.lineno, error.offset or 1)
    found = None
    trace = error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if file in originals:
            found = Location(originals[file], trace.tb_lineno, 1)
        trace = trace.tb_next
    return found


def _place(file: PlanCode, folder: Path | None) -> Path:
    return Path(file.path) if folder is None else folder / file.name


def _root(file: PlanCode, folder: Path | None) -> Path:
    """Return the folder in which the search for a module begins."""
    place = _place(file, folder)
    depth = len(file.module.split(".")) - (place.name != "__init__.py")
    return place.parents[depth] if depth else place.parent


def _hint(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError):
        return "install it; if it is yours, list its folder in `use.packages`"
    if isinstance(error, FileNotFoundError):
        return "list files that analysis code reads in `use.files`"
    return ""


def ops_of(module: ModuleType) -> dict[str, Op]:
    """Return the ops of a module: name → op."""
    found = {}
    for value in vars(module).values():
        declared = getattr(value, "op", None)
        if isinstance(declared, Op):
            found[declared.name] = declared
    return found


class OpTable:
    """Table of ops by name. Ops of analysis code have precedence over installed ones.

    Parameters
    ----------
    modules : sequence of PlanModule
        Modules of the workflow that may define ops.
    code : sequence of PlanCode
        All analysis code of the workflow.
    folder : Path, optional
        Folder with copies of the code, on workers.
    environment : str
        Kind of the environment of the workers, for messages.
    """

    def __init__(
        self,
        modules: Sequence[PlanModule] = (),
        code: Sequence[PlanCode] = (),
        folder: Path | None = None,
        environment: str = "",
    ) -> None:
        self._user: dict[str, tuple[Op, PlanModule]] = {}
        if modules or code:
            activate(code, folder)
        for module in modules:
            for name, op in ops_of(import_analysis_module(module.name, code, folder, environment)).items():
                self._user[name] = (op, module)
        self.code = FINDER.active

    @property
    def is_current(self) -> bool:
        """Whether lazy imports of the ops still find the analysis code of this table."""
        return FINDER.active == self.code

    def names(self) -> list[str]:
        """Return all names, sorted."""
        return sorted({*self._user, *registry.names("ops")})

    def get(self, name: str) -> Op:
        """Return the op called `name`.

        Raises
        ------
        ConfigError
            There is no such op. The hint contains similar names.
        """
        if name in self._user:
            return self._user[name][0]
        if name not in registry.names("ops"):
            hint = suggest(name, self.names(), what="ops")
            raise ConfigError(Problem("E110", f"unknown op `{name}`", hint=hint, name=name))
        op = registry.load("ops", name).op
        if not isinstance(op, Op):
            raise ConfigError(
                Problem("E110", f"`{name}` is registered as an op, but is not one", hint="decorate it with @op")
            )
        return op

    def module(self, name: str) -> PlanModule | None:
        """Return the module of analysis code that defines an op, None for installed ops."""
        return self._user[name][1] if name in self._user else None
