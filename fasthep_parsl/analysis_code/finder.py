"""Import hook for modules next to analysis code. It loads only content that the plan contains, never old bytecode."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

from fasthep_parsl.analysis_code.closure import sha256
from fasthep_parsl.errors import ConfigError, Problem

MARK = "__fasthep_sha256__"
"""Attribute of a module that was imported by this hook: the hash of its content."""


class VerifiedLoader(SourceFileLoader):
    """Loads a source file with a known hash.

    Python alone would load a bytecode file of another source with the same size and modification second.
    """

    def __init__(self, name: str, path: str, expected: str) -> None:
        super().__init__(name, path)
        self._expected = expected

    def get_data(self, path: str) -> bytes:
        """Return the content of the file after comparing its hash."""
        content = bytes(super().get_data(path))
        if sha256(content) != self._expected:
            raise edited(path)
        return content

    def path_stats(self, path: str) -> Mapping[str, float]:
        """Raise OSError, so that bytecode files are not used."""
        raise OSError(path)

    def exec_module(self, module: ModuleType) -> None:
        """Run the module and mark it with its hash."""
        setattr(module, MARK, self._expected)
        super().exec_module(module)


class CodeFinder(MetaPathFinder):
    """Finds modules next to analysis code by name."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Path, str]] = {}

    def register(self, modules: Mapping[str, tuple[Path, str]]) -> None:
        """Register dotted name → file and hash. Modules that were imported with other content are dropped."""
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)
        self._known |= modules
        hashes = {name: getattr(sys.modules.get(name), MARK, None) for name in modules}
        if any(hashes[name] not in (None, modules[name][1]) for name in modules):
            for name, known in hashes.items():
                if known is not None:  # also unchanged ones: they refer to objects of the others
                    del sys.modules[name]

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a registered module, None for other modules."""
        del path, target
        if fullname not in self._known:
            return None
        file, expected = self._known[fullname]
        inside = [str(file.parent)] if file.name == "__init__.py" else None
        loader = VerifiedLoader(fullname, str(file), expected)
        return spec_from_file_location(fullname, file, loader=loader, submodule_search_locations=inside)


FINDER = CodeFinder()


def edited(path: str | Path) -> ConfigError:
    """Return the error for analysis code that was edited after the plan was made."""
    return ConfigError(Problem("E112", f"`{path}` was edited after the plan was made", hint="run again"))
