"""Imports of what lies beside analysis code: only what the plan has seen, and never a stale file of bytecode."""

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
"""Attribute of a module that was imported here: the hash of its content."""


class VerifiedLoader(SourceFileLoader):
    """Load a source file whose content is known.

    Python would take a file of bytecode instead, if that is of a source of the same size and second.
    """

    def __init__(self, name: str, path: str, expected: str) -> None:
        super().__init__(name, path)
        self._expected = expected

    def get_data(self, path: str) -> bytes:
        """Return the content of the file, if it is what it should be."""
        content = bytes(super().get_data(path))
        if sha256(content) != self._expected:
            raise edited(path)
        return content

    def path_stats(self, path: str) -> Mapping[str, float]:
        """Say that nothing is known by which a file of bytecode could be trusted."""
        raise OSError(path)

    def exec_module(self, module: ModuleType) -> None:
        """Run the module."""
        setattr(module, MARK, self._expected)
        super().exec_module(module)


class CodeFinder(MetaPathFinder):
    """Finds modules beside analysis code by their names."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Path, str]] = {}

    def learn(self, modules: Mapping[str, tuple[Path, str]]) -> None:
        """Take in dotted names, files and hashes; forget what was imported under these names with another content."""
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)
        self._known |= modules
        hashes = {name: getattr(sys.modules.get(name), MARK, None) for name in modules}
        if any(hashes[name] not in (None, modules[name][1]) for name in modules):
            for name, known in hashes.items():
                if known is not None:  # also those that are the same: they hold what others have defined
                    del sys.modules[name]

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return how to import a module, None if it is not one of these."""
        del path, target
        if fullname not in self._known:
            return None
        file, expected = self._known[fullname]
        inside = [str(file.parent)] if file.name == "__init__.py" else None
        loader = VerifiedLoader(fullname, str(file), expected)
        return spec_from_file_location(fullname, file, loader=loader, submodule_search_locations=inside)


FINDER = CodeFinder()


def edited(path: str | Path) -> ConfigError:
    """Return the error that analysis code is not what the plan has seen."""
    return ConfigError(Problem("E112", f"`{path}` was edited after the plan was made", hint="run again"))
