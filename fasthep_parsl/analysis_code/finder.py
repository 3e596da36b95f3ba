"""Import hook for analysis code. It loads only content that the plan contains, never old bytecode."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

from fasthep_parsl.analysis_code.checksums import sha256
from fasthep_parsl.analysis_code.data_files import hash_file
from fasthep_parsl.errors import ConfigError, Problem

MARK = "__fasthep_sha256__"
"""Attribute of a module that was imported by this hook: the hash of its content."""


@dataclass(frozen=True, slots=True)
class VerifiedFile:
    """A file of analysis code, with the hash that its content must have."""

    path: Path
    sha256: str

    def read(self) -> bytes:
        """Return the content.

        Raises
        ------
        ConfigError
            It has changed.
        """
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            raise edited(self.path, "was removed") from None
        if sha256(content) != self.sha256:
            raise edited(self.path)
        return content


class VerifiedLoader(SourceFileLoader):
    """Loads a source file with a known hash.

    Python alone would load a bytecode file of another source with the same size and modification second.
    """

    def __init__(self, name: str, file: VerifiedFile) -> None:
        super().__init__(name, str(file.path))
        self._file = file

    def get_data(self, path: str) -> bytes:
        """Return the content of the file after comparing its hash; that of another file as it is."""
        return self._file.read() if path == self.path else bytes(super().get_data(path))

    def path_stats(self, path: str) -> Mapping[str, float]:
        """Raise OSError, so that bytecode files are not used."""
        raise OSError(path)

    def exec_module(self, module: ModuleType) -> None:
        """Run the module and mark it with its hash."""
        setattr(module, MARK, self._file.sha256)
        super().exec_module(module)


class VerifiedExtensionLoader(ExtensionFileLoader):
    """Loads a compiled module with a known hash."""

    def __init__(self, name: str, file: VerifiedFile) -> None:
        super().__init__(name, str(file.path))
        self._file = file

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Load the library after comparing its hash."""
        if hash_file(self._file.path) != self._file.sha256:
            raise edited(self._file.path)
        return super().create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Run the module and mark it with its hash."""
        super().exec_module(module)
        setattr(module, MARK, self._file.sha256)


class _NamespacePaths(list[str]):
    """Folders of a package without ``__init__.py``. `importlib.resources` recognises them by this text."""

    def __repr__(self) -> str:
        return f"_NamespacePath({super().__repr__()})"


class CodeFinder(MetaPathFinder):
    """Finds the modules of the active analysis code by name.

    Attributes
    ----------
    active : mapping
        Dotted name → file.
    appended : set of str
        Folders that were added to `sys.path` for processes that analysis code starts.
    """

    def __init__(self) -> None:
        self.active: Mapping[str, VerifiedFile] = {}
        self.appended: set[str] = set()
        self._namespaces: dict[str, list[str]] = {}
        self._aside: dict[str, ModuleType] = {}

    def activate(self, files: Mapping[str, VerifiedFile]) -> None:
        """Use these modules from now on, and no others. Modules that were imported with other content are dropped.

        Also put aside are modules of the same names that this session has imported without this hook: nobody knows
        their content.
        """
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)
        self.active = dict(files)
        self._namespaces = _namespaces(files)
        loaded = {name: module for name, module in list(sys.modules.items()) if self._is_affected(name, module)}
        if not all(self._is_right(name, module) for name, module in loaded.items()):
            for name, module in loaded.items():  # also the right ones: they refer to objects of the others
                del sys.modules[name]
                if not self._is_ours(module):
                    self._aside[name] = module

    def release(self) -> None:
        """Use no analysis code from now on. The session gets back the modules that it has imported itself."""
        for name, module in list(sys.modules.items()):
            if self._is_ours(module):
                del sys.modules[name]
        self.active, self._namespaces = {}, {}
        sys.modules.update(self._aside)
        self._aside = {}

    def knows(self, top: str) -> bool:
        """Return whether a top-level module or package belongs to the active code."""
        return top in self.active or top in self._namespaces

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a module of the active code, None for other modules.

        Raises
        ------
        ModuleNotFoundError
            The module is a file of a package of the active code, but not of the plan: its name was computed.
        """
        del target
        if fullname in self.active:
            return _spec(fullname, self.active[fullname])
        top = fullname.partition(".")[0]
        if not self.knows(top):
            return None
        elsewhere = PathFinder.find_spec(fullname, path)
        if fullname in self._namespaces:
            spec = ModuleSpec(fullname, None, is_package=True)
            others = elsewhere.submodule_search_locations if elsewhere is not None else None
            found = dict.fromkeys([*self._namespaces[fullname], *(others or [])])
            spec.submodule_search_locations = _NamespacePaths(found)
            return spec
        if elsewhere is not None and elsewhere.has_location and top in self.active:
            raise unlisted(fullname)
        return elsewhere

    def _is_affected(self, name: str, module: ModuleType) -> bool:
        """Return whether a module belongs to the active code, or to code that was active before."""
        top = name.partition(".")[0]
        return self.knows(top) or self._is_ours(module)

    def _is_right(self, name: str, module: ModuleType) -> bool:
        if name in self.active:
            file = self.active[name]
            return getattr(module, MARK, "") == file.sha256 and getattr(module, "__file__", "") == str(file.path)
        if name in self._namespaces:
            return getattr(module, "__path__", None) is not None and list(module.__path__) == self._namespaces[name]
        return not self._is_ours(module) and name.partition(".")[0] not in self.active

    @staticmethod
    def _is_ours(module: ModuleType) -> bool:
        """Return whether this hook has imported a module."""
        spec = getattr(module, "__spec__", None)
        return MARK in getattr(module, "__dict__", {}) or isinstance(
            getattr(spec, "submodule_search_locations", None), _NamespacePaths
        )


FINDER = CodeFinder()


def _spec(name: str, file: VerifiedFile) -> ModuleSpec | None:
    compiled = file.path.name.endswith(tuple(EXTENSION_SUFFIXES))
    loader: Loader = VerifiedExtensionLoader(name, file) if compiled else VerifiedLoader(name, file)
    inside = [str(file.path.parent)] if file.path.name == "__init__.py" else None
    return spec_from_file_location(name, file.path, loader=loader, submodule_search_locations=inside)


def _namespaces(files: Mapping[str, VerifiedFile]) -> dict[str, list[str]]:
    """Return the packages without ``__init__.py`` that contain `files`, with their folders."""
    found: dict[str, list[str]] = {}
    for name, file in files.items():
        folder = file.path.parent.parent if file.path.name == "__init__.py" else file.path.parent
        parts = name.split(".")
        for stop in range(len(parts) - 1, 0, -1):
            package = ".".join(parts[:stop])
            if package not in files and str(folder) not in found.setdefault(package, []):
                found[package].append(str(folder))
            folder = folder.parent
    return found


def edited(path: str | Path, what: str = "was edited") -> ConfigError:
    """Return the error for analysis code that was edited after the plan was made."""
    return ConfigError(Problem("E112", f"`{path}` {what} after the plan was made", hint="run again"))


def unlisted(name: str) -> ModuleNotFoundError:
    """Return the error for a module of the user that the plan does not contain."""
    message = f"`{name}` is not in the plan, because no import with this name is in the source"
    return ModuleNotFoundError(f"{message}: list its package in `use.packages`", name=name)
