"""Analysis code: modules named by ``use.modules``, imported by path and known by their content hash."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from types import ModuleType

from fasthep_parsl import registry
from fasthep_parsl.analysis_code.closure import closure, digest, is_installed
from fasthep_parsl.analysis_code.finder import FINDER, MARK, VerifiedLoader
from fasthep_parsl.errors import ConfigError, Location, Problem, suggest
from fasthep_parsl.interfaces import Op
from fasthep_parsl.plan import PlanModule

ALL = "__fasthep_files__"
"""Attribute of a module of analysis code: the hash of all its files."""


def describe(path: Path, data: Iterable[Path] = ()) -> PlanModule:
    """Return what a plan holds of a module file; `data` lie in its folder or below."""
    files = closure(path, data)
    return PlanModule(name=path.stem, path=str(path), sha256=digest(files), files=files)


def import_module(module: PlanModule, folder: Path | None = None) -> ModuleType:
    """Import analysis code under its file's name, so that what it defines can be pickled.

    Parameters
    ----------
    module : PlanModule
        Which one.
    folder : Path, optional
        Where to look for its copy; default: where the plan found it.

    Raises
    ------
    ConfigError
        The module cannot be imported; says which of the user's lines failed, or that it was edited meanwhile.
    """
    root = Path(module.path).parent if folder is None else folder / module.folder
    path = root / Path(module.path).name
    FINDER.learn(beside(module, root))
    own = next(file.sha256 for file in module.files if file.name == path.name)
    loaded = sys.modules.get(module.name)
    if loaded is not None and _is_right(loaded, module, path, own):
        return loaded
    if _is_taken(module):
        raise ConfigError(
            Problem(
                "E112", f"analysis module `{path.name}` has the name of an installed module", hint="rename the file"
            )
        )
    for place in (str(Path(module.path).parent), str(root)):  # imports whose names only the run knows
        if place not in sys.path:
            sys.path.append(place)  # behind all libraries: there may be a `hist.py` or `random.py` of the user's
    loader = VerifiedLoader(module.name, str(path), own)
    spec = importlib.util.spec_from_file_location(module.name, path, loader=loader)
    if spec is None or spec.loader is None:
        raise ConfigError(Problem("E112", f"`{path}` is not a Python file", hint="use.modules takes .py files"))
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[module.name] = loaded
    try:
        spec.loader.exec_module(loaded)
    except (Exception, SystemExit) as error:
        del sys.modules[module.name]
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(_import_problem(path, error)) from error
    setattr(loaded, ALL, module.sha256)
    return loaded


def beside(module: PlanModule, root: Path) -> dict[str, tuple[Path, str]]:
    """Return the modules that a module imports from beside it: dotted name → file and hash."""
    found = {}
    for file in module.files:
        place = PurePosixPath(file.name)
        if place.suffix == ".py" and file.name != Path(module.path).name:
            parts = place.parent.parts if place.name == "__init__.py" else place.with_suffix("").parts
            found[".".join(parts)] = (root / place, file.sha256)
    return found


def _is_right(loaded: ModuleType, module: PlanModule, path: Path, own: str) -> bool:
    """Whether a module that is imported already will do.

    Data files are read from beside it, and must be the copies. Another module may have imported it.
    """
    if getattr(loaded, MARK, "") != own or getattr(loaded, ALL, module.sha256) != module.sha256:
        return False
    return getattr(loaded, "__file__", "") == str(path) or all(file.name.endswith(".py") for file in module.files)


def _is_taken(module: PlanModule) -> bool:
    """Return whether another module has that name: one of Python's, of a package, or one that is imported already."""
    loaded = sys.modules.get(module.name)
    if getattr(loaded, MARK, ""):
        return False
    if is_installed(module.name):
        return True
    if loaded is None:  # a file that just lies in the current folder does not count
        return False
    file = getattr(loaded, "__file__", None)
    return file is None or Path(file).name != Path(module.path).name


def _import_problem(path: Path, error: BaseException) -> Problem:
    line, column = 1, 1
    if isinstance(error, SyntaxError) and error.lineno:
        line, column = error.lineno, error.offset or 1
    else:
        trace = error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == str(path):
                line = trace.tb_lineno
            trace = trace.tb_next
    message = f"analysis module `{path.name}` cannot be imported: {type(error).__name__}: {error}"
    return Problem("E112", message, where=Location(str(path), line, column))


def ops_of(module: ModuleType) -> dict[str, Op]:
    """Return the ops that a module declares: name → op."""
    found = {}
    for value in vars(module).values():
        declared = getattr(value, "op", None)
        if isinstance(declared, Op):
            found[declared.name] = declared
    return found


class OpTable:
    """Ops by name: those of the user's modules first, then the installed ones.

    Parameters
    ----------
    modules : tuple of PlanModule
        Analysis code of the workflow.
    folder : Path, optional
        Where copies of the modules lie (on workers).
    """

    def __init__(self, modules: tuple[PlanModule, ...] = (), folder: Path | None = None) -> None:
        self._user: dict[str, tuple[Op, PlanModule]] = {}
        for module in modules:
            for name, op in ops_of(import_module(module, folder)).items():
                self._user[name] = (op, module)

    def names(self) -> list[str]:
        """Return all names, sorted."""
        return sorted({*self._user, *registry.names("ops")})

    def get(self, name: str) -> Op:
        """Return the op called `name`.

        Raises
        ------
        ConfigError
            There is none; the hint has close names.
        """
        if name in self._user:
            return self._user[name][0]
        if name not in registry.names("ops"):
            raise ConfigError(Problem("E110", f"unknown op `{name}`", hint=suggest(name, self.names(), what="ops")))
        op = registry.load("ops", name).op
        if not isinstance(op, Op):
            raise ConfigError(Problem("E110", f"`{name}` is registered, but is not an op", hint="decorate it with @op"))
        return op

    def module(self, name: str) -> PlanModule | None:
        """Return the user module that defines the op, None for installed ones."""
        return self._user[name][1] if name in self._user else None
