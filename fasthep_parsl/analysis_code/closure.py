"""Analysis code with everything of the user's that it imports and reads: found by following imports in the source."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path, PurePath

from fasthep_parsl.analysis_code.checksums import sha256
from fasthep_parsl.analysis_code.data_files import hash_file
from fasthep_parsl.analysis_code.imports import FoundImport, ParsedSource, parse_imports
from fasthep_parsl.analysis_code.module_search import ModuleFile, ModuleSearch
from fasthep_parsl.analysis_code.package_files import INIT, package_files
from fasthep_parsl.plan import PlanCode

FILES = "files"
"""Folder in `code` for files that parameters name. No module has this place."""


class CodeError(Exception):
    """Analysis code that cannot be used.

    Parameters
    ----------
    message : str
        What is wrong.
    hint : str
        What to do.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message, self.hint = message, hint


Key = tuple[Path, Path]
"""A file of the closure: its root and its path."""


@dataclass
class ClosureFile:
    """A file of analysis code or data, and what it needs."""

    sha256: str
    module: str
    why: str
    source: ParsedSource = field(default_factory=ParsedSource)
    needs: set[Key] = field(default_factory=set)


class Closure:
    """Analysis code, its imports and the data of its packages.

    Parameters
    ----------
    search : ModuleSearch
        Finds modules.
    workflow : collection of Path
        The files of the workflow. They are not data of a package. A package that contains them has no data unless it is
        listed in `use.packages`.

    Attributes
    ----------
    files : dict
        All files that were found.
    foreign : set of str
        Top-level modules that are imported and are not the user's.
    warnings : list of str
        What workers need in addition.
    """

    def __init__(self, search: ModuleSearch, workflow: Collection[Path] = ()) -> None:
        self.search = search
        self.files: dict[Key, ClosureFile] = {}
        self.foreign: set[str] = set()
        self.warnings: list[str] = []
        self._workflow = frozenset(workflow)
        self._modules: dict[str, ModuleFile] = {}
        self._packages: dict[Path, set[Key]] = {}
        self._waiting: list[Key] = []

    def add_module(self, path: Path, why: str, name: str = "") -> Key:
        """Add a module and everything that it imports.

        Raises
        ------
        CodeError
            A file cannot be read, or two have the same name.
        """
        module = self.search.module_at(path)
        if name:
            module = ModuleFile((name,), path, module.root)
        key = self._add(module, why)
        for stop in range(1, len(module.names)):  # importing it runs its packages
            package = module.root.joinpath(*module.names[:stop], INIT)
            self.files[key].needs.add(self._add(ModuleFile(module.names[:stop], package, module.root), why))
        self._follow()
        return key

    def add_package(self, folder: Path, why: str) -> set[Key]:
        """Add all files of a package, and everything that they import.

        Raises
        ------
        CodeError
            As `add_module`, or the package has too much data.
        """
        keys = self._package(folder, folder.parent, why, whole=True, listed=True)
        self._follow()
        return keys

    def add_data(self, path: Path, why: str) -> bool:
        """Add a data file below a folder of modules; return whether there is one. Python files can be imported too."""
        roots = sorted({root for root, _ in self.files if path.is_relative_to(root)})
        for root in roots:
            names = _names(path.relative_to(root))
            if path.suffix == ".py" and names and ".".join(names) not in self._modules:
                self._add(ModuleFile(names, path, root), why)
            else:
                self._read((root, path), "", why)
        self._follow()
        return bool(roots)

    def reach(self, keys: Iterable[Key]) -> set[Key]:
        """Return the files that `keys` import and read, transitively, and `keys`."""
        found: set[Key] = set()
        waiting = list(keys)
        while waiting:
            key = waiting.pop()
            if key not in found:
                found.add(key)
                waiting += self.files[key].needs
        return found

    def plan_code(self) -> dict[Key, PlanCode]:
        """Return the plan's description of each file.

        Raises
        ------
        CodeError
            Two files have names that only case distinguishes.
        """
        roots = list(dict.fromkeys(root for root, _ in self.files))
        top = {path.relative_to(root).parts[0] for root, path in self.files}
        numbered = len(roots) > 1 or FILES in top
        found: dict[Key, PlanCode] = {}
        names: dict[str, Path] = {}
        for (root, path), file in self.files.items():
            folder = f"{roots.index(root) + 1}/" if numbered else ""
            name = folder + path.relative_to(root).as_posix()
            other = names.setdefault(name.casefold(), path)
            if other != path:
                message = f"the names of `{other}` and `{path}` differ only in case"
                raise CodeError(message, "rename one of them: some file systems cannot have both")
            found[root, path] = PlanCode(
                name=name, sha256=file.sha256, path=str(path), module=file.module, why=file.why
            )
        return dict(sorted(found.items(), key=lambda item: item[1].name))

    # --- following imports --------------------------------------------------------------------------------

    def _follow(self) -> None:
        while self._waiting:
            key = self._waiting.pop()
            file = self.files[key]
            module = self._modules[file.module]
            for item in file.source.imports:
                file.needs |= self._imported(item, module)
            if key[1].name == INIT or len(module.names) > 1:
                file.needs |= self._package_of(module)

    def _imported(self, item: FoundImport, by: ModuleFile) -> set[Key]:
        """Add what an import runs."""
        found = self.search.find(item.names, by.root)
        self._refuse(item.names[0])
        if not found:
            self.foreign.add(item.names[0])
        why = f"imported by `{by.path.name}:{item.line}`"
        keys = {self._add(module, why) for module in found}
        last = found[-1] if found else None
        if item.star and last is not None and last.path.name == INIT and last.names == item.names:
            for name in self.files[last.root, last.path].source.public:
                keys |= {self._add(module, why) for module in self.search.find((*item.names, name), by.root)}
        return keys

    def _refuse(self, top: str) -> None:
        """Refuse names for which this machine and workers could import different files, and archives."""
        if top in self.search.shadowing:
            place = self.search.shadowing[top]
            message = f"`{place}` has the name of an installed module, which analysis code imports"
            raise CodeError(message, "rename the file, or uninstall the module")
        if top in self.search.zipped:
            message = f"analysis code imports `{top}` from the archive `{self.search.zipped[top]}`"
            raise CodeError(message, "unpack the archive, or install it as a package")

    def _package_of(self, module: ModuleFile) -> set[Key]:
        """Add the data of the package of a module; all of it if Python finds the package without this plan."""
        top = module.root / module.names[0]
        folder = top if self.search.listing(top).get(INIT) is False else module.path.parent
        if folder in self._packages:
            return self._packages[folder]
        if not module.library and any(path.is_relative_to(folder) for path in self._workflow):
            self._packages[folder] = set()
            return set()
        why = f"part of the package `{folder.name}`"
        return self._package(folder, module.root, why, whole=module.library, listed=False)

    def _package(self, folder: Path, root: Path, why: str, *, whole: bool, listed: bool) -> set[Key]:
        """Add the files of a package: its data, and all its modules if `whole`."""
        keys = self._packages[folder] = set()
        found = package_files(folder, self._workflow)
        if found.excess:
            message = f"the data files of the package `{folder}` do not travel to workers: {found.excess}"
            hint = "move them, and list those that it needs in `use.files`"
            if listed:
                raise CodeError(message, hint)
            self.warnings.append(f"{message}; {hint}")
        for path in found.files:
            names = _names(path.relative_to(root))
            if path.suffix == ".py" and not whole:
                continue
            if names and ".".join(names) not in self._modules:
                keys.add(self._add(ModuleFile(names, path, root, library=not listed), why))
            else:
                keys.add(self._read((root, path), "", why))
        return keys

    # --- files --------------------------------------------------------------------------------------------

    def _add(self, module: ModuleFile, why: str) -> Key:
        """Add the file of a module, and follow its imports later."""
        known = self._modules.setdefault(module.name, module)
        if known.path != module.path:
            if known.path.resolve() != module.path.resolve():
                message = f"two files have the module name `{module.name}`: {known.path} and {module.path}"
                raise CodeError(message, "rename one of them")
            module = known
        key = (module.root, module.path)
        if key not in self.files:
            self._read(key, module.name, why)
            self._waiting.append(key)
            if module.path.name.endswith(tuple(EXTENSION_SUFFIXES)):
                platform = f"Python {sys.version_info.major}.{sys.version_info.minor} on {sysconfig.get_platform()}"
                self.warnings.append(f"`{module.path}` is compiled: workers need {platform}, and its libraries")
        return key

    def _read(self, key: Key, module: str, why: str) -> Key:
        root, path = key
        if key in self.files:
            return key
        try:
            if path.suffix == ".py":
                content = path.read_bytes()
                package = path.relative_to(root).parent.parts if not module else self._modules[module].package
                self.files[key] = ClosureFile(sha256(content), module, why, parse_imports(content, package))
            else:
                self.files[key] = ClosureFile(hash_file(path), module, why)
        except OSError as error:
            raise CodeError(f"cannot read `{path}`, {why}: {error.strerror}") from None
        return key


def _names(path: PurePath) -> tuple[str, ...]:
    """Return the parts of the dotted name of a file, relative to its root; empty if it cannot be imported."""
    suffix = next((suffix for suffix in (*EXTENSION_SUFFIXES, ".py") if path.name.endswith(suffix)), "")
    names = (*path.parent.parts, path.name.removesuffix(suffix))
    names = names[:-1] if names[-1] == "__init__" else names
    return names if suffix and all(name.isidentifier() for name in names) else ()
