"""Imports of Python source: found by parsing it, without running it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

IMPORTERS = frozenset(
    [
        "import_module",
        "__import__",
        "run_module",
        "files",
        "get_data",
        "open_text",
        "open_binary",
        "read_text",
        "read_binary",
    ]
)
"""Functions that import the module or package that their first argument names: of `importlib`, `runpy` and `pkgutil`."""

_CALLS = re.compile(rb"\b(?:" + "|".join(sorted(IMPORTERS)).encode() + rb")\s*\(")
_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")
"""Attributes of statements that contain statements."""


@dataclass(frozen=True, slots=True)
class FoundImport:
    """A name that a source file may import.

    Attributes
    ----------
    names : tuple of str
        The parts of the dotted name. The last one may also be an attribute of a module.
    line : int
        The line of the import.
    star : bool
        Whether all public names of the module are imported.
    """

    names: tuple[str, ...]
    line: int
    star: bool = False


@dataclass(frozen=True, slots=True)
class ParsedSource:
    """What a source file imports, and its `__all__`."""

    imports: tuple[FoundImport, ...] = ()
    public: tuple[str, ...] = ()


def parse_imports(content: bytes, package: tuple[str, ...] = ()) -> ParsedSource:
    """Return the imports of a source file, also within functions; nothing if `content` is not valid Python.

    Imports for type checkers only (``if TYPE_CHECKING:``) are left out.

    Parameters
    ----------
    content : bytes
        The source.
    package : tuple of str
        The parts of the name of its package, for relative imports.
    """
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ParsedSource()
    found: list[FoundImport] = []
    public: list[str] = []
    for node in _nodes(tree, calls=_CALLS.search(content) is not None):
        found += _imports_of(node, package)
        if isinstance(node, ast.Assign) and any(getattr(target, "id", "") == "__all__" for target in node.targets):
            public += [part.value for part in ast.walk(node.value) if _is_text(part)]  # type: ignore[attr-defined]
    return ParsedSource(tuple(dict.fromkeys(found)), tuple(public))


def _nodes(tree: ast.AST, *, calls: bool) -> Iterator[ast.AST]:
    """Yield the statements, and expressions too if `calls`, except those that only type checkers evaluate."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.If) and _is_type_checking(node.test):
            waiting += node.orelse
        elif calls and not isinstance(node, ast.Import | ast.ImportFrom | ast.Name | ast.Constant):
            waiting += ast.iter_child_nodes(node)
        elif not isinstance(node, ast.expr):
            for name in _BLOCKS:
                inner = getattr(node, name, ())
                waiting += inner if isinstance(inner, list) else ()


def _is_type_checking(test: ast.expr) -> bool:
    name = test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", "")
    return name == "TYPE_CHECKING"


def _imports_of(node: ast.AST, package: tuple[str, ...]) -> Iterator[FoundImport]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield FoundImport(tuple(alias.name.split(".")), node.lineno)
    elif isinstance(node, ast.ImportFrom):
        base = _absolute(package, node.level)
        if base is None:
            return
        base += tuple(node.module.split(".")) if node.module else ()
        star = any(alias.name == "*" for alias in node.names)
        if base:
            yield FoundImport(base, node.lineno, star)
        for alias in node.names:
            if alias.name != "*":
                yield FoundImport((*base, alias.name), node.lineno)
    elif isinstance(node, ast.Call) and node.args and _is_text(node.args[0]):
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called in IMPORTERS:
            yield from _called(node, package)


def _called(node: ast.Call, package: tuple[str, ...]) -> Iterator[FoundImport]:
    """Yield the import of a call such as ``import_module(".helpers", __package__)``."""
    text: str = node.args[0].value  # type: ignore[attr-defined]
    level = len(text) - len(text.lstrip("."))
    given = node.args[1] if len(node.args) > 1 else next((k.value for k in node.keywords if k.arg == "package"), None)
    if given is not None and _is_text(given):
        package = tuple(given.value.split("."))  # type: ignore[attr-defined]
    base = _absolute(package, level)
    names = (*(base or ()), *text[level:].split("."))
    if base is not None and all(name.isidentifier() for name in names):
        yield FoundImport(names, node.lineno)


def _absolute(package: tuple[str, ...], level: int) -> tuple[str, ...] | None:
    """Return the package that a relative import begins at, None if there is none."""
    if not level:
        return ()
    return package[: len(package) - level + 1] if level <= len(package) else None


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)
