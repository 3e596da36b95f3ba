"""Find the analysis code and data files that a workflow uses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

from fasthep_parsl.analysis_code.checksums import digest
from fasthep_parsl.analysis_code.closure import Closure, CodeError, Key
from fasthep_parsl.analysis_code.data_files import hash_file
from fasthep_parsl.analysis_code.module_search import ModuleSearch
from fasthep_parsl.analysis_code.package_files import INIT
from fasthep_parsl.errors import Checked, Problem, suggest
from fasthep_parsl.plan import PlanCode, PlanModule
from fasthep_parsl.workflow.loader import LoadedWorkflow
from fasthep_parsl.workflow.yamldoc import KeyPath, problem

P = ParamSpec("P")
T = TypeVar("T")
NOT_PACKAGES = frozenset({"tests", "test", "docs", "doc", "examples", "benchmarks"})
"""Folders of a project that are not installed with it."""


@dataclass(frozen=True)
class Code:
    """Analysis code and data files of a workflow.

    Attributes
    ----------
    modules : tuple of PlanModule
        Modules and packages of ``use``.
    keys : tuple of KeyPath
        Where the workflow lists them.
    files : tuple of PlanCode
        Analysis code, also what is imported, with its data. Workers have a copy.
    elsewhere : tuple of PlanCode
        Data files in other folders.
    foreign : frozenset of str
        Installed top-level modules that analysis code imports.
    warnings : tuple of str
        What workers need in addition.
    """

    modules: tuple[PlanModule, ...] = ()
    keys: tuple[KeyPath, ...] = ()
    files: tuple[PlanCode, ...] = ()
    elsewhere: tuple[PlanCode, ...] = ()
    foreign: frozenset[str] = frozenset()
    warnings: tuple[str, ...] = ()


def find_code(loaded: LoadedWorkflow) -> Checked[Code]:
    """Find the files of ``use``, relative to the file that names them, and everything that they import. Import nothing."""
    return _CodeFiles(loaded).find()


class _CodeFiles:
    def __init__(self, loaded: LoadedWorkflow) -> None:
        self.loaded = loaded
        self.problems: list[Problem] = []
        self.search = ModuleSearch()
        workflow = {Path(file).resolve() for file in loaded.document.files} | {loaded.path.resolve()}
        self.closure = Closure(self.search, workflow)
        self.owners: dict[str, tuple[KeyPath, Path, set[Key]]] = {}
        self.names: Counter[str] = Counter()

    def find(self) -> Checked[Code]:
        modules, packages, data = self._modules(), self._packages(), self._data()
        for path in modules.values():
            self.search.add_root(self.search.module_at(path).root)
            self.search.add_root(path.parent)
        for folder in packages:
            self.search.add_root(folder.parent)
        self.search.add_root(self.loaded.path.resolve().parent)
        for key, path in modules.items():
            self._try(key, self._add_module, key, path)
        for folder, key in packages.items():
            self._try(key, self._add_package, key, folder)
        elsewhere = []
        for path, key in data.items():
            file = self._try(key, self._add_data, path)
            elsewhere += [file] if file is not None else []
        return Checked(self._code(elsewhere), tuple(self.problems))

    def _code(self, elsewhere: list[PlanCode]) -> Code:
        files: dict[Key, PlanCode] = {}
        self._try(("use",), lambda: files.update(self.closure.plan_code()))
        data = {key for key, file in files.items() if not file.module}
        modules = []
        for name, (_, path, keys) in self.owners.items():
            own = [files[key] for key in self.closure.reach(keys) | data if key in files]
            modules.append(PlanModule(name=name, path=str(path), sha256=digest(own)))
        return Code(
            tuple(modules),
            tuple(key for key, _, _ in self.owners.values()),
            tuple(files.values()),
            tuple(elsewhere),
            frozenset(self.closure.foreign),
            tuple(self.closure.warnings),
        )

    def _try(self, key: KeyPath, add: Callable[P, T], *arguments: P.args, **keywords: P.kwargs) -> T | None:
        """Call `add`; record the problem if it raises one, or cannot read a file."""
        try:
            return add(*arguments, **keywords)
        except CodeError as error:
            self._problem(key, error.message, error.hint)
        except OSError as error:
            self._problem(key, f"cannot read `{error.filename}`: {error.strerror}")
        return None

    def _problem(self, key: KeyPath, message: str, hint: str = "") -> None:
        self.problems.append(problem(self.loaded.document, key, "E112", message, hint))

    def _add_module(self, key: KeyPath, path: Path) -> None:
        module = self.search.module_at(path)
        if self.search.is_installed(module.names[0]):
            message = f"analysis module `{path.name}` has the name of an installed module"
            raise CodeError(message, "rename the file")
        self.names[module.name] += 1
        number = self.names[module.name]
        name = f"{module.name}__{number}" if number > 1 else module.name
        added = self.closure.add_module(path, "listed in `use.modules`", name if number > 1 else "")
        self.owners[name] = (key, path, {added})

    def _add_package(self, key: KeyPath, folder: Path) -> None:
        if self.search.is_installed(folder.name):
            raise CodeError(f"package `{folder.name}` has the name of an installed module", "rename the folder")
        added = self.closure.add_package(folder, "listed in `use.packages`")
        if (folder / INIT).is_file() and folder.name not in self.owners:
            self.owners[folder.name] = (key, folder / INIT, added)

    def _add_data(self, path: Path) -> PlanCode | None:
        """Add a data file; return its description if it is not below a folder of modules."""
        why = "listed in `use.files`"
        known = self.closure.add_data(path, why)
        return None if known else PlanCode(name=str(path), sha256=hash_file(path), why=why)

    # --- what is listed -----------------------------------------------------------------------------------

    def _listed(self, what: str) -> Iterator[tuple[KeyPath, str, Path]]:
        for index, name in enumerate(getattr(self.loaded.workflow.use, what)):
            key: KeyPath = ("use", what, index)
            yield key, name, (self.loaded.document.folder_of(key) / name).resolve()

    def _unknown(self, key: KeyPath, code: str, what: str, name: str, path: Path, pattern: str) -> None:
        around = [item.name for item in path.parent.glob(pattern)] if path.parent.is_dir() else []
        hint = suggest(path.name, around, what=f"{what}s in its folder")
        self.problems.append(problem(self.loaded.document, key, code, f"no {what} `{name}`", hint, name=name))

    def _modules(self) -> dict[KeyPath, Path]:
        found: dict[KeyPath, Path] = {}
        for key, name, path in self._listed("modules"):
            if not path.is_file():
                self._unknown(key, "E112", "analysis module", name, path, "*.py")
            elif path.suffix != ".py" or not path.stem.isidentifier():
                self._problem(key, f"`{name}` is not the name of a Python module", "rename it, for example `my_ops.py`")
            elif path not in found.values():
                found[key] = path
        return found

    def _packages(self) -> dict[Path, KeyPath]:
        found: dict[Path, KeyPath] = {}
        for key, name, path in self._listed("packages"):
            if path.is_file():
                hint = "list a folder; modules are listed in `use.modules`"
                self._problem(key, f"`{name}` is not the folder of a package", hint)
                continue
            if not path.is_dir():
                self._unknown(key, "E112", "package", name, path, "*/")
                continue
            packages = packages_of(path)
            found |= dict.fromkeys(packages, key)
            if not packages:
                self._problem(
                    key, f"no package in `{name}`", "a package is a folder with a name that Python can import"
                )
        return found

    def _data(self) -> dict[Path, KeyPath]:
        found: dict[Path, KeyPath] = {}
        for key, name, path in self._listed("files"):
            if path.is_dir():
                found |= dict.fromkeys(sorted(file for file in path.rglob("*") if file.is_file()), key)
            elif path.is_file():
                found[path] = key
            else:
                self._unknown(key, "E100", "file", name, path, "*")
        return found


def packages_of(folder: Path) -> list[Path]:
    """Return the folders of the packages that `folder` is or contains, if it is a project with ``pyproject.toml``."""
    if not (folder / "pyproject.toml").is_file() or (folder / INIT).is_file():
        return [folder] if folder.name.isidentifier() else []
    source = folder / "src"
    inside = source if source.is_dir() else folder
    return sorted(
        item
        for item in inside.iterdir()
        if item.is_dir() and item.name.isidentifier() and item.name not in NOT_PACKAGES and (item / INIT).is_file()
    )
