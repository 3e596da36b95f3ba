"""Source of a kernel: the functions of its author, and the numbers and modules that they use.

Everything is copied into one generated module. Its name contains a hash of its text, which determines the machine code.
numba alone would not notice a change in a function that a kernel calls.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
import math
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from fasthep_parsl.errors import OpError, suggest

NUMBERS = (bool, int, float, complex)


@dataclass(frozen=True)
class KernelFunction:
    """A function of the author, without its decorators.

    Attributes
    ----------
    name : str
        Its name.
    file, line : str, int
        Position of its ``def``.
    text : str
        Its source.
    node : ast.FunctionDef
        The parsed source. Lines are counted from 1.
    python : callable
        The function.
    """

    name: str
    file: str
    line: int
    text: str
    node: ast.FunctionDef = field(repr=False)
    python: FunctionType = field(repr=False)

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of its parameters."""
        return tuple(argument.arg for argument in self.node.args.args)

    def place(self, node: ast.AST) -> str:
        """Return ``file:line`` of a node of the function."""
        return f"{Path(self.file).name}:{self.line + getattr(node, 'lineno', 1) - 1}"


@dataclass
class KernelSource:
    """Everything that a kernel's machine code depends on.

    Attributes
    ----------
    functions : list of KernelFunction
        Called functions come first, the kernel itself is the last.
    imports : list of str
        Lines before the functions: modules and constants.
    named : dict
        Global name → object. A name has one meaning in all functions.
    """

    functions: list[KernelFunction] = field(default_factory=list)
    imports: list[str] = field(default_factory=list)
    named: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def kernel(self) -> KernelFunction:
        """The kernel's own function."""
        return self.functions[-1]

    def called(self, name: str) -> KernelFunction | None:
        """Return the author's function with this name, None if there is none."""
        value = self.named.get(name)
        return next((function for function in self.functions if function.python is value), None)


def read(function: Callable[..., Any], float64: Any) -> KernelSource:
    """Return the source of a kernel and of everything that it uses.

    Parameters
    ----------
    function : callable
        The function of the author.
    float64 : callable
        The function that replaces numba's ``float64`` in plain Python.

    Raises
    ------
    OpError
        It cannot be copied. Contains the author's line.
    """
    source = KernelSource()
    _add(source, function, float64, [])
    return source


def _add(source: KernelSource, python: Any, float64: Any, within: list[Any]) -> None:
    if python in within or any(known.python is python for known in source.functions):
        return
    function = parse(python)
    _refuse(function)
    for name, node in _names(function.node):
        try:
            value = _meaning(python, name)
        except LookupError:
            raise OpError(f"{function.place(node)}: name `{name}` is not defined") from None
        if isinstance(value, ModuleType):
            _check_attributes(function, name, value)
        if value is getattr(builtins, name, source):
            continue
        if name in source.named:
            if source.named[name] is not value:
                raise OpError(f"{function.place(node)}: `{name}` has two meanings in this kernel: rename one of them")
            continue
        source.named[name] = value
        if isinstance(value, FunctionType) and value is not float64:
            _add(source, value, float64, [*within, python])
            if value.__name__ != name:
                raise OpError(f"{function.place(node)}: call `{value.__name__}` by its own name, not `{name}`")
        else:
            source.imports.append(_import_line(function, node, name, value, float64))
    source.functions.append(function)


def parse(python: Any) -> KernelFunction:
    """Return a function's source.

    Raises
    ------
    OpError
        It has no source, or is not a plain function with positional parameters.
    """
    name = getattr(python, "__name__", str(python))
    try:
        lines, first = inspect.getsourcelines(python)
        file = inspect.getsourcefile(python) or ""
    except (OSError, TypeError):
        raise OpError(f"kernel `{name}` must be defined in a file: its source is needed") from None
    try:
        node = ast.parse(textwrap.dedent("".join(lines))).body[0]
    except SyntaxError:
        node = ast.Pass()
    if not isinstance(node, ast.FunctionDef):
        raise OpError(f"{Path(file).name}:{first}: a kernel is a function with a `def` of its own")
    given = node.args
    if given.vararg or given.kwarg or given.kwonlyargs or given.posonlyargs or given.defaults:
        message = "a kernel has positional parameters only, without defaults"
        raise OpError(f"{Path(file).name}:{first + node.lineno - 1}: {message}")
    text = "".join(textwrap.dedent("".join(lines)).splitlines(keepends=True)[node.lineno - 1 :])
    line = first + node.lineno - 1
    return KernelFunction(node.name, file, line, text, _without_decorators(text), python)


def _without_decorators(text: str) -> ast.FunctionDef:
    node = ast.parse(text).body[0]
    assert isinstance(node, ast.FunctionDef)
    return node


_REFUSED: dict[type[ast.AST], str] = {
    ast.With: "`with`", ast.Try: "`try`", ast.Raise: "`raise`", ast.Yield: "`yield`", ast.YieldFrom: "`yield`",
    ast.Import: "`import`", ast.ImportFrom: "`import`", ast.FunctionDef: "a function in a function",
    ast.Lambda: "a function in a function", ast.ClassDef: "a class", ast.Global: "`global`", ast.Nonlocal: "`nonlocal`",
    ast.List: "a list", ast.Dict: "a dict", ast.Set: "a set", ast.ListComp: "a list", ast.DictComp: "a dict",
    ast.SetComp: "a set", ast.GeneratorExp: "a generator", ast.JoinedStr: "text",
}  # fmt: skip
"""Syntax that a GPU cannot run: it needs memory, or exceptions."""


def _refuse(function: KernelFunction) -> None:
    for node in _walk(function.node.body):
        what = _REFUSED.get(type(node))
        if what is not None:
            raise OpError(f"{function.place(node)}: a kernel cannot use {what}: a GPU could not run it")


def _check_attributes(function: KernelFunction, name: str, module: ModuleType) -> None:
    """Refuse unknown attributes such as ``math.sqr``, for which numba would not report the line."""
    for node in _walk(function.node.body):
        if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name) or node.value.id != name:
            continue
        if not hasattr(module, node.attr):
            hint = suggest(node.attr, [known for known in dir(module) if not known.startswith("_")], what="it has")
            raise OpError(f"{function.place(node)}: `{module.__name__}` has no `{node.attr}`: {hint}")


def _names(function: ast.FunctionDef) -> Iterator[tuple[str, ast.AST]]:
    """Yield each global name of a function once. Annotations are not evaluated."""
    local = {argument.arg for argument in function.args.args}
    nodes = list(_walk(function.body))
    local |= {node.id for node in nodes if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)}
    seen: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Name) and node.id not in local and node.id not in seen:
            seen.add(node.id)
            yield node.id, node


def _walk(nodes: list[Any]) -> Iterator[ast.AST]:
    for node in nodes:
        yield node
        for name, value in ast.iter_fields(node):
            if name not in ("annotation", "returns"):
                yield from _walk([part for part in (value if isinstance(value, list) else [value])
                                  if isinstance(part, ast.AST)])  # fmt: skip


def _meaning(python: FunctionType, name: str) -> Any:
    """Return the object with this name in a function; raise LookupError if there is none."""
    closed = dict(zip(python.__code__.co_freevars, python.__closure__ or (), strict=True))
    if name in closed:
        try:
            return closed[name].cell_contents
        except ValueError:
            raise LookupError(name) from None
    for names in (python.__globals__, vars(builtins)):
        if name in names:
            return names[name]
    raise LookupError(name)


def _import_line(function: KernelFunction, node: ast.AST, name: str, value: Any, float64: Any) -> str:
    """Return the line that gives `name` the same meaning in a generated module."""
    if value is float64:
        return f"from numba import float64 as {name}"
    if isinstance(value, ModuleType):
        return f"import {value.__name__} as {name}"
    if hasattr(value, "item") and getattr(value, "shape", None) == ():  # a NumPy scalar
        value = value.item()
    if isinstance(value, NUMBERS) or (isinstance(value, tuple) and all(isinstance(item, NUMBERS) for item in value)):
        return f"{name} = {_literal(value)}"
    module, own = getattr(value, "__module__", None) or "numpy", getattr(value, "__name__", "")
    if module in ("math", "numpy", "cmath") and getattr(importlib.import_module(module), own, None) is value:
        return f"from {module} import {own} as {name}"
    what = type(value).__name__
    hint = "a kernel can use numbers, functions and modules; pass arrays as arguments"
    raise OpError(f"{function.place(node)}: `{name}` has the type {what}: {hint}")


def _literal(value: Any) -> str:
    if isinstance(value, tuple):
        return "(" + "".join(f"{_literal(item)}, " for item in value) + ")"
    if isinstance(value, float) and not math.isfinite(value):
        return f"float({str(value)!r})"
    return repr(value)
