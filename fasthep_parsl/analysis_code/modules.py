"""Modules of analysis code (``use.modules``): import them by path and verify their content. Table of all ops."""

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
"""Attribute of an imported module: the hash of all its files."""


def describe(path: Path, data: Iterable[Path] = ()) -> PlanModule:
    """Return the plan's description of a module file. The files `data` are in its folder or below."""
    files = closure(path, data)
    return PlanModule(name=path.stem, path=str(path), sha256=digest(files), files=files)


def import_module(module: PlanModule, folder: Path | None = None) -> ModuleType:
    """Import analysis code under the name of its file, so that its objects can be pickled.

    Parameters
    ----------
    module : PlanModule
        The module.
    folder : Path, optional
        Folder with its copy. Default: its original folder.

    Raises
    ------
    ConfigError
        The module cannot be imported, or was edited after the plan was made. Contains the line that failed.
    """
    root = Path(module.path).parent if folder is None else folder / module.folder
    path = root / Path(module.path).name
    FINDER.register(modules_next_to(module, root))
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
    for place in (str(Path(module.path).parent), str(root)):  # for imports whose names are computed
        if place not in sys.path:
            sys.path.append(place)  # after all libraries: users may have a `hist.py` or `random.py`
    loader = VerifiedLoader(module.name, str(path), own)
    spec = importlib.util.spec_from_file_location(module.name, path, loader=loader)
    if spec is None or spec.loader is None:
        raise ConfigError(Problem("E112", f"`{path}` is not a Python file", hint="`use.modules` accepts .py files"))
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


def modules_next_to(module: PlanModule, root: Path) -> dict[str, tuple[Path, str]]:
    """Return the imported modules in the same folder: dotted name → file and hash."""
    found = {}
    for file in module.files:
        place = PurePosixPath(file.name)
        if place.suffix == ".py" and file.name != Path(module.path).name:
            parts = place.parent.parts if place.name == "__init__.py" else place.with_suffix("").parts
            found[".".join(parts)] = (root / place, file.sha256)
    return found


def _is_right(loaded: ModuleType, module: PlanModule, path: Path, own: str) -> bool:
    """Return whether an imported module can be used.

    It may have been imported by another module. Its data files must be those of the copy.
    """
    if getattr(loaded, MARK, "") != own or getattr(loaded, ALL, module.sha256) != module.sha256:
        return False
    return getattr(loaded, "__file__", "") == str(path) or all(file.name.endswith(".py") for file in module.files)


def _is_taken(module: PlanModule) -> bool:
    """Return whether another module has this name: one of Python, of a package, or one that is already imported."""
    loaded = sys.modules.get(module.name)
    if getattr(loaded, MARK, ""):
        return False
    if is_installed(module.name):
        return True
    if loaded is None:  # a file in the current folder does not count
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
    modules : tuple of PlanModule
        Modules of the workflow.
    folder : Path, optional
        Folder with copies of the modules, on workers.
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
