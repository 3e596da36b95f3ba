"""Files of a module of analysis code: the module and everything that it imports from its folder, transitively."""

from __future__ import annotations

import ast
import hashlib
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path

from fasthep_parsl.plan import PlanCode


def sha256(content: bytes) -> str:
    """Return the hex digest of `content`."""
    return hashlib.sha256(content).hexdigest()


def digest(files: Iterable[PlanCode]) -> str:
    """Return a hash of the names and contents of files."""
    listed = sorted((file.name, file.sha256) for file in files)
    return sha256("\n".join(f"{hashed} {name}" for name, hashed in listed).encode())


def closure(path: Path, data: Iterable[Path] = ()) -> tuple[PlanCode, ...]:
    """Return a Python file, its imports from its folder and below, and data files. Names are relative to the folder.

    Imports are found in the source, also inside functions. Imports whose names are computed are not found. If Python or
    an installed package has a module of the same name, the file in the folder is not imported.
    """
    folder = path.parent
    found: dict[Path, PlanCode] = {}
    waiting = [path]
    while waiting:
        file = waiting.pop()
        if file in found:
            continue
        content = file.read_bytes()
        found[file] = PlanCode(name=file.relative_to(folder).as_posix(), sha256=sha256(content))
        for names in imports(content, _package(file, folder)):
            waiting += _files(names, folder)
    for file in data:
        found[file] = PlanCode(name=file.relative_to(folder).as_posix(), sha256=sha256(file.read_bytes()))
    return tuple(sorted(found.values(), key=lambda item: item.name))


def imports(content: bytes, package: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the parts of each dotted name that may be imported; nothing if `content` is not valid Python."""
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield tuple(alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            base += tuple(node.module.split(".")) if node.module else ()
            yield base
            for alias in node.names:
                yield (*base, alias.name)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                yield tuple(node.args[0].value.split("."))


@cache
def is_installed(name: str) -> bool:
    """Return whether Python or an installed package has a module with this name."""
    packages = [sysconfig.get_path(key) for key in ("purelib", "platlib")]
    return name in sys.stdlib_module_names or PathFinder.find_spec(name, packages) is not None


def _package(file: Path, folder: Path) -> tuple[str, ...]:
    return file.relative_to(folder).parent.parts


def _files(names: tuple[str, ...], folder: Path) -> list[Path]:
    """Return the files that an import of a dotted name runs: its packages and the module."""
    if not names or is_installed(names[0]):
        return []
    found = []
    for stop in range(1, len(names) + 1):
        place = folder.joinpath(*names[:stop])
        found += [file for file in (place / "__init__.py", place.with_suffix(".py")) if file.is_file()][:1]
    return found
